// SPDX-License-Identifier: Apache-2.0
// Gradients of the (gated) delta rule in chunk form, through the triangular inverse (Yang et al. 2024, arXiv
// 2406.06484; flash-linear-attention, fla/ops/gated_delta_rule). W, U and the states at the chunk starts are
// recomputed.
#pragma once

#include "models/reference/delta_rule.h"

namespace lightcone::models::reference {

struct DeltaHeadGradients {
  Matrix<double> q, k, v;          // as the inputs
  Vector<double> beta, log_decay;  // T; log_decay empty without decay
  Matrix<double> initial;          // dk x dv
};

// Gradients of sum(output o output_gradient) + sum(state o state_gradient).
// output_gradient: T x dv; state_gradient: dk x dv.
DeltaHeadGradients delta_rule_backward(const DeltaHead<double>& head, Eigen::Index chunk,
                                       const Matrix<double>& output_gradient, const Matrix<double>& state_gradient);

}  // namespace lightcone::models::reference
