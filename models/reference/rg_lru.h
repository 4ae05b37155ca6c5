// SPDX-License-Identifier: Apache-2.0
// The real-gated linear recurrent unit of Griffin and RecurrentGemma (De et al. 2024, arXiv 2402.19427, section 2.4):
// r = sigmoid(x W_a + b_a), i = sigmoid(x W_x + b_x), log a = -8 r softplus(Lambda), h_t = a_t h_{t-1} + sqrt(1 -
// a_t^2) (i_t x_t). The gates' weights are block-diagonal. At the first token a = 0 and the multiplier is 1. Rows are
// tokens.
#pragma once

#include "models/reference/activations.h"
#include "models/reference/gemm.h"
#include "models/reference/linear_scan.h"

namespace lightcone::models::reference {

// x W with W block-diagonal: `blocks` of (D/blocks) x (D/blocks), stacked as D x (D/blocks). 2 D^2 / blocks FLOP per
// token.
template <class Number>
Matrix<Number> block_diagonal_product(const Matrix<Number>& x, const Matrix<Number>& blocks) {
  const Eigen::Index width = blocks.cols();
  Matrix<Number> y(x.rows(), x.cols());
  for (Eigen::Index first = 0; first < x.cols(); first += width) {
    y.middleCols(first, width) = product(x.middleCols(first, width), blocks.middleRows(first, width));
  }
  return y;
}

struct RgLruWeights {
  Matrix<double> recurrence_gate, input_gate;  // D x (D / blocks)
  Vector<double> recurrence_bias, input_bias;  // D
  Vector<double> lambda;                       // D
};

// What the scan takes: log a and i o x, both T x D.
template <class Number>
struct RgLruGates {
  Matrix<Number> log_a, gated;
};

RgLruGates<double> rg_lru_gates(const RgLruWeights& weights, const Matrix<double>& x);

// a and the multiplier of each element, with the reset at the first token.
template <class Number>
struct RgLruCoefficients {
  Matrix<Number> a, multiplier;
};
template <class Number>
RgLruCoefficients<Number> rg_lru_coefficients(const Matrix<Number>& log_a) {
  using std::exp;
  using std::sqrt;
  RgLruCoefficients<Number> c;
  c.a = log_a.unaryExpr([](const Number& v) { return exp(v); });
  c.multiplier = log_a.unaryExpr([](const Number& v) { return sqrt(Number(1) - exp(Number(2) * v)); });
  c.a.row(0).setZero();
  c.multiplier.row(0).setOnes();
  return c;
}

// h, T x D, serially. 3 FLOP per element after the coefficients.
template <class Number>
Matrix<Number> rg_lru_serial(const RgLruGates<Number>& gates) {
  const RgLruCoefficients<Number> c = rg_lru_coefficients(gates.log_a);
  return scan_serial(c.a, Matrix<Number>(c.multiplier.cwiseProduct(gates.gated)));
}

// The same by a parallel scan.
template <class Number>
Matrix<Number> rg_lru_scan(const RgLruGates<Number>& gates, std::size_t threads, std::size_t per_thread) {
  const RgLruCoefficients<Number> c = rg_lru_coefficients(gates.log_a);
  return scan_blocked(c.a, Matrix<Number>(c.multiplier.cwiseProduct(gates.gated)), threads, per_thread);
}

// Gradients of sum(h o h_gradient) with respect to log a and to i o x.
RgLruGates<double> rg_lru_backward(const RgLruGates<double>& gates, const Matrix<double>& h_gradient);

}  // namespace lightcone::models::reference
