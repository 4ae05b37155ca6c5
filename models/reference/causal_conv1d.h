// SPDX-License-Identifier: Apache-2.0
// Depthwise causal convolution of width w over the tokens: y_t = sum_j weight_j x_{t-w+1+j} + bias, per channel, then
// SiLU outside (the short convolution of H3, Hyena, Mamba and DeltaNet; Dao-AILab/causal-conv1d). Rows are tokens.
#pragma once

#include <algorithm>

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

template <class Number>
struct ShortFilter {
  Matrix<Number> weight;  // D x w, the last column for the present token
  Vector<Number> bias;    // D
};

// y, T x D. initial: the w-1 tokens before, (w-1) x D; empty: zero. 2 w FLOP per element.
template <class Number>
Matrix<Number> causal_conv1d(const ShortFilter<Number>& filter, const Matrix<Number>& x,
                             const Matrix<Number>& initial = {}) {
  const Eigen::Index width = filter.weight.cols();
  Matrix<Number> y(x.rows(), x.cols());
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    for (Eigen::Index d = 0; d < x.cols(); ++d) {
      Number sum = filter.bias(d);
      for (Eigen::Index j = 0; j < width; ++j) {
        const Eigen::Index at = t - width + 1 + j;
        if (at < 0 && initial.size() == 0) continue;
        sum += filter.weight(d, j) * (at < 0 ? initial(width - 1 + at, d) : x(at, d));
      }
      y(t, d) = sum;
    }
  }
  return y;
}

// One token at decode: the state, the last w-1 tokens, shifts by one. x and y: 1 x D.
template <class Number>
Matrix<Number> causal_conv1d_step(const ShortFilter<Number>& filter, Matrix<Number>& state, const Matrix<Number>& x) {
  Matrix<Number> window(state.rows() + 1, state.cols());
  window << state, x;
  state = window.bottomRows(state.rows());
  return filter.weight.cwiseProduct(window.transpose()).rowwise().sum().transpose() + filter.bias.transpose();
}

// By tiles of tokens, each with the w-1 tokens before it as its halo, as kernels and sequence-parallel ranks do.
template <class Number>
Matrix<Number> causal_conv1d_tiled(const ShortFilter<Number>& filter, const Matrix<Number>& x, Eigen::Index tile,
                                   const Matrix<Number>& initial = {}) {
  const Eigen::Index halo = filter.weight.cols() - 1;
  Matrix<Number> padded = Matrix<Number>::Zero(halo + x.rows(), x.cols()), y(x.rows(), x.cols());
  if (initial.size() != 0) padded.topRows(halo) = initial;
  padded.bottomRows(x.rows()) = x;
  for (Eigen::Index first = 0; first < x.rows(); first += tile) {
    const Eigen::Index rows = std::min(tile, x.rows() - first);
    y.middleRows(first, rows) =
        causal_conv1d<Number>(filter, padded.middleRows(first + halo, rows), padded.middleRows(first, halo));
  }
  return y;
}

struct ShortFilterGradients {
  ShortFilter<double> filter;
  Matrix<double> x, initial;
};

// Gradients of sum(y o y_gradient), with an initial state of (w-1) x D.
ShortFilterGradients causal_conv1d_backward(const ShortFilter<double>& filter, const Matrix<double>& x,
                                            const Matrix<double>& initial, const Matrix<double>& y_gradient);

}  // namespace lightcone::models::reference
