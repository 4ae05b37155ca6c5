// SPDX-License-Identifier: Apache-2.0
// The WKV operator of RWKV-7: a state whose transition is diagonal plus rank one, S_t = S_{t-1} (Diag(w_t) + a_t b_t^T)
// + v_t k_t^T, y_t = S_t r_t with S of dv x dk (Peng et al. 2025, arXiv 2503.14456, eq. 17). Kept here transposed, dk x
// dv as everywhere: S_t = Diag(w_t) S_{t-1} + b_t u_t^T + k_t v_t^T with u_t = S_{t-1}^T a_t, read after the update.
// One head.
#pragma once

#include "models/reference/delta_rule.h"
#include "models/reference/gated_linear_attention.h"

namespace lightcone::models::reference {

template <class Number>
struct Rwkv7Head {
  Matrix<Number> r, k, v, a, b;  // T x dk, but v: T x dv; in the model a = -kk, b = kk o (in-context learning rate)
  Matrix<Number> log_decay;      // T x dk: log w = -e^{w^}
  Matrix<Number> initial;        // dk x dv; empty: zero

  [[nodiscard]] Matrix<Number> start() const {
    return initial.size() != 0 ? initial : Matrix<Number>::Zero(k.cols(), v.cols());
  }
};

// The definition, token by token: 9 dk dv FLOP.
template <class Number>
HeadResult<Number> rwkv7_recurrent(const Rwkv7Head<Number>& head) {
  HeadResult<Number> result{Matrix<Number>(head.v.rows(), head.v.cols()), head.start()};
  Matrix<Number>& state = result.state;
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    const Matrix<Number> u = product(head.a.row(t), state);
    decay_state_rows(state, Matrix<Number>(head.log_decay.row(t)));
    add_product(state, head.b.row(t).transpose(), u);
    add_product(state, head.k.row(t).transpose(), head.v.row(t));
    result.output.row(t) = product(head.r.row(t), state);
  }
  return result;
}

// The chunk form (fla/ops/generalized_delta_rule/dplr): with A_xy the decayed scores of x over y, the u of a chunk
// solve (I - A_ab) U = (a e^{b before}) S + A_ak V, and O = (r e^{b}) S + A_rb U + A_rk V.
template <class Number, class Operands = ExactOperands>
HeadResult<Number> rwkv7_chunked(const Rwkv7Head<Number>& head, Eigen::Index chunk, Eigen::Index sub_block = 16,
                                 Operands operand = {}) {
  const Eigen::Index tokens = head.v.rows();
  HeadResult<Number> result{Matrix<Number>(tokens, head.v.cols()), head.start()};
  for (Eigen::Index first = 0; first < tokens; first += chunk) {
    const Eigen::Index rows = std::min(chunk, tokens - first);
    const auto part = [&](const Matrix<Number>& m) { return Matrix<Number>(m.middleRows(first, rows)); };
    const Matrix<Number> r = part(head.r), k = part(head.k), a = part(head.a), b = part(head.b);
    const Matrix<Number> v = operand(part(head.v)), state = operand(result.state);
    const Matrix<Number> sums = cumulative_rows(head.log_decay, first, rows), before = sums - part(head.log_decay);
    const auto scores = [&](const Matrix<Number>& x, const Matrix<Number>& bx, const Matrix<Number>& y, Diagonal d) {
      return operand(decayed_scores(x, bx, y, sums, d, sub_block, operand));
    };
    // 1. U.
    const Matrix<Number> a_start = a.cwiseProduct(exponentials<Number>(before));
    Matrix<Number> right = product(operand(a_start), state);
    add_product(right, scores(a, before, k, Diagonal::excluded), v);
    const Matrix<Number> system = -decayed_scores(a, before, b, sums, Diagonal::excluded, sub_block, operand);
    const Matrix<Number> u = operand(product(operand(unit_lower_inverse(system)), operand(right)));
    // 2. Output.
    const Matrix<Number> r_start = r.cwiseProduct(exponentials<Number>(sums));
    Matrix<Number> output = product(operand(r_start), state);
    add_product(output, scores(r, sums, b, Diagonal::kept), u);
    add_product(output, scores(r, sums, k, Diagonal::kept), v);
    result.output.middleRows(first, rows) = output;
    // 3. State.
    decay_state_rows(result.state, sums);
    add_product(result.state, operand(keys_at_end(b, sums)).transpose(), u);
    add_product(result.state, operand(keys_at_end(k, sums)).transpose(), v);
  }
  return result;
}

}  // namespace lightcone::models::reference
