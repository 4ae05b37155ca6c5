// SPDX-License-Identifier: Apache-2.0
// Kimi Delta Attention: the delta rule with one decay per key channel, S~ = Diag(e^{g_t}) S_{t-1}, u_t = beta_t (v_t -
// S~^T k_t), S_t = S~ + k_t u_t^T, o_t = S_t^T q_t (Kimi Linear: Kimi Team 2025, arXiv 2510.26692, section 3). One
// head.
#pragma once

#include "models/reference/delta_rule.h"
#include "models/reference/gated_linear_attention.h"

namespace lightcone::models::reference {

template <class Number>
struct KimiDeltaHead {
  Matrix<Number> q, k, v;    // T x dk (q already scaled), T x dk, T x dv
  Vector<Number> beta;       // T
  Matrix<Number> log_decay;  // T x dk, g <= 0
  Matrix<Number> initial;    // dk x dv; empty: zero

  [[nodiscard]] Matrix<Number> start() const {
    return initial.size() != 0 ? initial : Matrix<Number>::Zero(k.cols(), v.cols());
  }
};

// The definition, token by token: 7 dk dv FLOP, and 2 dv for u.
template <class Number>
HeadResult<Number> kimi_delta_recurrent(const KimiDeltaHead<Number>& head) {
  HeadResult<Number> result{Matrix<Number>(head.v.rows(), head.v.cols()), head.start()};
  Matrix<Number>& state = result.state;
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    decay_state_rows(state, Matrix<Number>(head.log_decay.row(t)));
    const Matrix<Number> error = head.v.row(t) - product(head.k.row(t), state);
    const Matrix<Number> u = error * head.beta(t);
    add_product(state, head.k.row(t).transpose(), u);
    result.output.row(t) = product(head.q.row(t), state);
  }
  return result;
}

// The chunk form: the WY representation with A_ij = beta_i sum_d k_id k_jd e^{b_id - b_jd} (i > j), by sub-blocks.
template <class Number, class Operands = ExactOperands>
HeadResult<Number> kimi_delta_chunked(const KimiDeltaHead<Number>& head, Eigen::Index chunk,
                                      Eigen::Index sub_block = 16, Operands operand = {}) {
  const Eigen::Index tokens = head.v.rows();
  HeadResult<Number> result{Matrix<Number>(tokens, head.v.cols()), head.start()};
  for (Eigen::Index first = 0; first < tokens; first += chunk) {
    const Eigen::Index rows = std::min(chunk, tokens - first);
    const Matrix<Number> q = head.q.middleRows(first, rows), k = head.k.middleRows(first, rows),
                         v = head.v.middleRows(first, rows);
    const Vector<Number> beta = head.beta.segment(first, rows);
    const Matrix<Number> b = cumulative_rows(head.log_decay, first, rows), decay = exponentials<Number>(b);
    const Matrix<Number> a = scaled_rows(decayed_scores(k, b, k, b, Diagonal::excluded, sub_block, operand), beta);
    const Matrix<Number> inverse = operand(unit_lower_inverse(a));
    const Matrix<Number> from_start = k.cwiseProduct(decay), queries = q.cwiseProduct(decay);
    const Matrix<Number> w = product(inverse, operand(scaled_rows(from_start, beta)));
    const Matrix<Number> u = product(inverse, operand(scaled_rows(v, beta)));
    const Matrix<Number> state = operand(result.state);
    const Matrix<Number> exact_values = u - product(operand(w), state), values = operand(exact_values);
    Matrix<Number> output = product(operand(queries), state);
    add_product(output, operand(decayed_scores(q, b, k, b, Diagonal::kept, sub_block, operand)), values);
    result.output.middleRows(first, rows) = output;
    decay_state_rows(result.state, b);
    add_product(result.state, operand(keys_at_end(k, b)).transpose(), values);
  }
  return result;
}

}  // namespace lightcone::models::reference
