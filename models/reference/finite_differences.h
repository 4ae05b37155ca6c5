// SPDX-License-Identifier: Apache-2.0
// Gradients by central differences with Richardson's extrapolation (error of fourth order), against which analytic
// gradients are tested.
#pragma once

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

// The gradient of `loss()` with respect to every element of `values`, which `loss` reads; values are restored.
template <class Values, class Loss>
Values finite_differences(Values& values, Loss loss, double step = 1e-3) {
  Values gradient(values.rows(), values.cols());
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    double& value = values.data()[i];
    const double kept = value;
    const auto slope = [&](double h) {
      value = kept + h;
      const double above = loss();
      value = kept - h;
      const double below = loss();
      value = kept;
      return (above - below) / (2 * h);
    };
    gradient.data()[i] = (4 * slope(step / 2) - slope(step)) / 3;
  }
  return gradient;
}

}  // namespace lightcone::models::reference
