// SPDX-License-Identifier: Apache-2.0
// sLSTM: exponential input gate, sigmoid forget gate, a normaliser n beside the cell, recurrent weights block-diagonal
// over heads: c = f c + i tanh(z), n = f n + i, h = sigmoid(o) c / n (xLSTM: Beck et al. 2024, arXiv 2405.04517,
// section 2.2; xlstm/blocks/slstm/src/vanilla/slstm.py). Serial over tokens. Rows are tokens.
#pragma once

#include <algorithm>

#include "models/reference/activations.h"
#include "models/reference/gemm.h"
#include "models/reference/rg_lru.h"

namespace lightcone::models::reference {

template <class Number>
struct SlstmWeights {
  // d x (d / heads) each, blocks stacked as in block_diagonal_product.
  Matrix<Number> input, forget, output, cell;
};

// x W + bias of each gate, T x d.
template <class Number>
struct SlstmInputs {
  Matrix<Number> input, forget, output, cell;
};

// Gates as exponentials, without a stabiliser: c and n grow with e^{i}.
template <class Number>
struct SlstmPlainState {
  Number c = Number(0), n = Number(0);

  Number step(const Number& i, const Number& f, const Number& o, const Number& z) {
    using std::exp;
    using std::tanh;
    const Number in = exp(i), keep = sigmoid(f);
    c = keep * c + in * tanh(z);
    n = keep * n + in;
    return sigmoid(o) * (c / n);
  }
};

// c and n divided by e^m, with m the running maximum of the log gates: no exponential above 1.
template <class Number>
struct SlstmStableState {
  Number c = Number(0), n = Number(0), m = Number(0);
  bool first = true;

  Number step(const Number& i, const Number& f, const Number& o, const Number& z) {
    using std::exp;
    using std::tanh;
    const Number decayed = log_sigmoid(f) + m, next = first ? i : std::max(i, decayed);
    const Number in = std::min(Number(1), exp(i - next)), keep = std::min(Number(1), exp(decayed - next));
    c = keep * c + in * tanh(z);
    n = keep * n + in;
    m = next;
    first = false;
    return sigmoid(o) * (c / n);
  }
};

// h, T x d. State: SlstmPlainState or SlstmStableState. 8 d^2 / heads FLOP per token for the recurrent weights.
template <template <class> class State, class Number>
Matrix<Number> slstm(const SlstmWeights<Number>& weights, const SlstmInputs<Number>& in) {
  const Eigen::Index d = in.cell.cols();
  Matrix<Number> h(in.cell.rows(), d), last = Matrix<Number>::Zero(1, d);
  std::vector<State<Number>> states(static_cast<std::size_t>(d));
  for (Eigen::Index t = 0; t < h.rows(); ++t) {
    const Matrix<Number> i = in.input.row(t) + block_diagonal_product(last, weights.input);
    const Matrix<Number> f = in.forget.row(t) + block_diagonal_product(last, weights.forget);
    const Matrix<Number> o = in.output.row(t) + block_diagonal_product(last, weights.output);
    const Matrix<Number> z = in.cell.row(t) + block_diagonal_product(last, weights.cell);
    for (Eigen::Index n = 0; n < d; ++n) last(n) = states[static_cast<std::size_t>(n)].step(i(n), f(n), o(n), z(n));
    h.row(t) = last;
  }
  return h;
}

}  // namespace lightcone::models::reference
