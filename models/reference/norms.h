// SPDX-License-Identifier: Apache-2.0
// Norms of one row: RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467) and LayerNorm (Ba et al. 2016, arXiv
// 1607.06450), with a weight, and a bias of the latter, per column.
#pragma once

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

// x / sqrt(mean(x^2) + epsilon) weight.
inline Vector<double> rms_norm(const Vector<double>& x, const Vector<double>& weight, double epsilon) {
  return x.cwiseProduct(weight) / std::sqrt(x.squaredNorm() / double(x.size()) + epsilon);
}

// (x - mean) / sqrt(variance + epsilon) weight + bias.
inline Vector<double> layer_norm(const Vector<double>& x, const Vector<double>& weight, const Vector<double>& bias,
                                 double epsilon) {
  const Vector<double> centred = x.array() - x.mean();
  return rms_norm(centred, weight, epsilon) + bias;
}

}  // namespace lightcone::models::reference
