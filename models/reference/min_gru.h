// SPDX-License-Identifier: Apache-2.0
// minGRU: z = sigmoid(x W_z), h~ = x W_h, h_t = (1 - z_t) h_{t-1} + z_t h~_t; gates see no state, so it is a scan
// (Feng et al. 2024, arXiv 2410.01201, section 3.1). Arrays are T x D.
#pragma once

#include "models/reference/activations.h"
#include "models/reference/linear_scan.h"

namespace lightcone::models::reference {

// Before the gates: x W_z and x W_h.
template <class Number>
struct MinGruInputs {
  Matrix<Number> z, h;
};

// The definition, token by token.
template <class Number>
Matrix<Number> min_gru_serial(const MinGruInputs<Number>& in, const Vector<Number>& initial) {
  Matrix<Number> h(in.z.rows(), in.z.cols());
  Vector<Number> state = initial;
  for (Eigen::Index t = 0; t < in.z.rows(); ++t) {
    for (Eigen::Index d = 0; d < in.z.cols(); ++d) {
      const Number z = sigmoid(in.z(t, d));
      state(d) = (Number(1) - z) * state(d) + z * in.h(t, d);
    }
    h.row(t) = state;
  }
  return h;
}

// By a parallel scan: a = 1 - z = sigmoid(-x W_z), b = z h~.
template <class Number>
Matrix<Number> min_gru_scan(const MinGruInputs<Number>& in, const Vector<Number>& initial, std::size_t threads,
                            std::size_t per_thread) {
  const Matrix<Number> z = elementwise(in.z, sigmoid<Number>), a = elementwise(Matrix<Number>(-in.z), sigmoid<Number>);
  return scan_blocked(a, Matrix<Number>(z.cwiseProduct(in.h)), threads, per_thread, initial);
}

// In logarithms, as the paper trains it: h~ > 0 and h_0 > 0 (its appendix B.1): log h_t = A_t + logsumexp_{s<=t}(log
// b_s - A_s) with A the running sum of log a and b_0 the initial state.
Matrix<double> min_gru_log_space(const MinGruInputs<double>& in, const Vector<double>& initial);

}  // namespace lightcone::models::reference
