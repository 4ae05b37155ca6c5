// SPDX-License-Identifier: Apache-2.0
// Gradients of linear attention in chunk form, as the backward kernels compute them: the states at the chunk starts are
// recomputed by a forward pass, then chunks are walked from the last to the first with the gradient of the state
// (GLA: Yang et al. 2024, arXiv 2312.06635, section 4 and appendix C, here for one decay per token).
#pragma once

#include "models/reference/linear_attention.h"

namespace lightcone::models::reference {

struct LinearHeadGradients {
  Matrix<double> q, k, v;    // as the inputs
  Vector<double> log_decay;  // T; empty without decay
  Matrix<double> initial;    // dk x dv
};

// Gradients of sum(output o output_gradient) + sum(state o state_gradient).
// output_gradient: T x dv; state_gradient: dk x dv.
LinearHeadGradients linear_attention_backward(const LinearHead<double>& head, Eigen::Index chunk,
                                              const Matrix<double>& output_gradient,
                                              const Matrix<double>& state_gradient);

}  // namespace lightcone::models::reference
