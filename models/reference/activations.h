// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of gates.
#pragma once

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

template <class Number>
Number sigmoid(const Number& x) {
  using std::exp;
  return Number(1) / (Number(1) + exp(-x));
}

// x sigmoid(x).
template <class Number>
Number silu(const Number& x) {
  return x * sigmoid(x);
}

// The derivative of silu.
inline double silu_slope(double x) {
  const double s = sigmoid(x);
  return s * (1 + x * (1 - s));
}

// log(1 + e^x), linear above 20 as Mamba's kernels have it.
inline double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

// log(sigmoid(x)) without overflow.
template <class Number>
Number log_sigmoid(const Number& x) {
  using std::exp;
  using std::log;
  return x > Number(0) ? -log(Number(1) + exp(-x)) : x - log(Number(1) + exp(x));
}

// A function of every element.
template <class Number, class Function>
Matrix<Number> elementwise(const Matrix<Number>& x, Function function) {
  return x.unaryExpr(function);
}

}  // namespace lightcone::models::reference
