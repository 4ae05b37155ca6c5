// SPDX-License-Identifier: Apache-2.0
// LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000): i, f, o = sigmoid, z = tanh of x W
// + h R + bias, c = f c + i z, h = o tanh(c). Serial over tokens: R needs the last output. Rows are tokens.
#pragma once

#include "models/reference/activations.h"
#include "models/reference/gemm.h"

namespace lightcone::models::reference {

template <class Number>
struct LstmWeights {
  Matrix<Number> w;     // inputs x 4d: columns i, f, o, z
  Matrix<Number> r;     // d x 4d
  Vector<Number> bias;  // 4d
};

// c and h of one element from its four sums. 4 FLOP and five transcendental functions.
template <class Number>
Number lstm_element(Number& c, const Number& i, const Number& f, const Number& o, const Number& z) {
  using std::tanh;
  c = sigmoid(f) * c + sigmoid(i) * tanh(z);
  return sigmoid(o) * tanh(c);
}

// The definition: every gate of every element as its own sum. T x d.
template <class Number>
Matrix<Number> lstm_elementwise(const LstmWeights<Number>& weights, const Matrix<Number>& x) {
  const Eigen::Index d = weights.r.rows();
  Matrix<Number> h = Matrix<Number>::Zero(x.rows(), d);
  Vector<Number> c = Vector<Number>::Zero(d);
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    for (Eigen::Index n = 0; n < d; ++n) {
      const auto sum = [&](Eigen::Index gate) {
        const Eigen::Index column = gate * d + n;
        Number s = weights.bias(column);
        for (Eigen::Index m = 0; m < x.cols(); ++m) s += x(t, m) * weights.w(m, column);
        for (Eigen::Index m = 0; m < d && t > 0; ++m) s += h(t - 1, m) * weights.r(m, column);
        return s;
      };
      h(t, n) = lstm_element(c(n), sum(0), sum(1), sum(2), sum(3));
    }
  }
  return h;
}

// As libraries run it: one GEMM for the inputs of all tokens and gates, then per token one product with R, 8 d^2 FLOP,
// and the elements. T x d.
template <class Number>
Matrix<Number> lstm_fused(const LstmWeights<Number>& weights, const Matrix<Number>& x) {
  const Eigen::Index d = weights.r.rows();
  Matrix<Number> sums = product(x, weights.w).rowwise() + weights.bias.transpose();
  Matrix<Number> h(x.rows(), d), last = Matrix<Number>::Zero(1, d);
  Vector<Number> c = Vector<Number>::Zero(d);
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    Matrix<Number> row = sums.row(t);
    add_product(row, last, weights.r);
    for (Eigen::Index n = 0; n < d; ++n)
      last(n) = lstm_element(c(n), row(n), row(d + n), row(2 * d + n), row(3 * d + n));
    h.row(t) = last;
  }
  return h;
}

}  // namespace lightcone::models::reference
