// SPDX-License-Identifier: Apache-2.0
// Linear attention with one decay per key channel: S_t = Diag(e^{g_t}) S_{t-1} + k_t v_t^T, o_t = S_t^T q_t.
// GLA (Yang et al. 2024, arXiv 2312.06635); HGRN2 (Qin et al. 2024, arXiv 2404.07904) is the same with k = 1 - e^g.
// One head; rows are tokens.
#pragma once

#include <algorithm>

#include "models/reference/gemm.h"
#include "models/reference/linear_attention.h"

namespace lightcone::models::reference {

template <class Number>
struct GatedHead {
  Matrix<Number> q, k, v;    // T x dk (q already scaled), T x dk, T x dv
  Matrix<Number> log_decay;  // T x dk, g <= 0
  Matrix<Number> initial;    // dk x dv; empty: zero

  [[nodiscard]] Matrix<Number> start() const {
    return initial.size() != 0 ? initial : Matrix<Number>::Zero(k.cols(), v.cols());
  }
};

// HGRN2's keys: what the forget gate lets go, 1 - e^g (T x dk; its eq. 5).
template <class Number>
Matrix<Number> hgrn2_keys(const Matrix<Number>& log_decay) {
  using std::exp;
  return log_decay.unaryExpr([](const Number& g) { return Number(1) - exp(g); });
}

// Rows e^{g_t}.
template <class Number, class Rows>
Matrix<Number> exponentials(const Eigen::MatrixBase<Rows>& rows) {
  using std::exp;
  return rows.unaryExpr([](const Number& g) { return exp(g); });
}

// The definition, token by token. 5 dk dv FLOP per token.
template <class Number>
HeadResult<Number> gated_linear_attention_recurrent(const GatedHead<Number>& head) {
  HeadResult<Number> result{Matrix<Number>(head.v.rows(), head.v.cols()), head.start()};
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    const Vector<Number> decay = exponentials<Number>(head.log_decay.row(t).transpose());
    for (Eigen::Index i = 0; i < decay.size(); ++i) result.state.row(i) *= decay(i);
    result.output.row(t) =
        linear_attention_step<Number>(result.state, head.q.row(t), head.k.row(t), head.v.row(t), nullptr);
  }
  return result;
}

enum class Diagonal { kept, excluded };

// Scores sum_d x_id y_jd e^{bx_id - by_jd} for j <= i (j < i without the diagonal), zero elsewhere; all n x dk. Decays
// are cumulative and fall with the row. e^{-by} alone may overflow, so rows are cut in sub-blocks: the tiles below the
// diagonal are GEMMs with both factors rebased to the first row of the row block, whose exponents are then <= 0; the
// tiles on the diagonal are summed element by element (GLA section 4.3, "secondary chunking").
template <class Number, class Operands = ExactOperands>
Matrix<Number> decayed_scores(const Matrix<Number>& x, const Matrix<Number>& bx, const Matrix<Number>& y,
                              const Matrix<Number>& by, Diagonal diagonal, Eigen::Index sub_block,
                              Operands operand = {}) {
  using std::exp;
  const Eigen::Index n = x.rows();
  Matrix<Number> scores = Matrix<Number>::Zero(n, n);
  for (Eigen::Index first = 0; first < n; first += sub_block) {
    const Eigen::Index rows = std::min(sub_block, n - first);
    if (first != 0) {
      const auto base = bx.row(first);
      const Matrix<Number> from = bx.middleRows(first, rows).rowwise() - base,
                           to = (-by.topRows(first)).rowwise() + base;
      const Matrix<Number> left = x.middleRows(first, rows).cwiseProduct(exponentials<Number>(from));
      const Matrix<Number> right = y.topRows(first).cwiseProduct(exponentials<Number>(to));
      scores.block(first, 0, rows, first) = product(operand(left), operand(right).transpose());
    }
    for (Eigen::Index i = first; i < first + rows; ++i) {
      for (Eigen::Index j = first; j < i + (diagonal == Diagonal::kept ? 1 : 0); ++j) {
        for (Eigen::Index d = 0; d < x.cols(); ++d) scores(i, j) += x(i, d) * y(j, d) * exp(bx(i, d) - by(j, d));
      }
    }
  }
  return scores;
}

// Cumulative log decays inside a chunk, rows x dk.
template <class Number>
Matrix<Number> cumulative_rows(const Matrix<Number>& log_decay, Eigen::Index first, Eigen::Index rows) {
  Matrix<Number> b = log_decay.middleRows(first, rows);
  for (Eigen::Index i = 1; i < rows; ++i) b.row(i) += b.row(i - 1);
  return b;
}

// k e^{b_last - b}: keys as the end of the chunk sees them.
template <class Number>
Matrix<Number> keys_at_end(const Matrix<Number>& k, const Matrix<Number>& b) {
  const Matrix<Number> rest = (-b).rowwise() + b.row(b.rows() - 1);
  return k.cwiseProduct(exponentials<Number>(rest));
}
template <class Number>
void decay_state_rows(Matrix<Number>& state, const Matrix<Number>& b) {
  const Vector<Number> decay = exponentials<Number>(b.row(b.rows() - 1).transpose());
  for (Eigen::Index i = 0; i < state.rows(); ++i) state.row(i) *= decay(i);
}

// The form that kernels run: as linear_attention_chunked, with the scores by sub-blocks (16 in the published kernels).
template <class Number, class Operands = ExactOperands>
HeadResult<Number> gated_linear_attention_chunked(const GatedHead<Number>& head, Eigen::Index chunk,
                                                  Eigen::Index sub_block = 16, Operands operand = {}) {
  const Eigen::Index tokens = head.v.rows();
  HeadResult<Number> result{Matrix<Number>(tokens, head.v.cols()), head.start()};
  for (Eigen::Index first = 0; first < tokens; first += chunk) {
    const Eigen::Index rows = std::min(chunk, tokens - first);
    const Matrix<Number> q = head.q.middleRows(first, rows), k = head.k.middleRows(first, rows);
    const Matrix<Number> v = operand(Matrix<Number>(head.v.middleRows(first, rows)));
    const Matrix<Number> b = cumulative_rows(head.log_decay, first, rows);
    const Matrix<Number> scores = decayed_scores(q, b, k, b, Diagonal::kept, sub_block, operand);
    const Matrix<Number> from_start = q.cwiseProduct(exponentials<Number>(b));
    Matrix<Number> output = product(operand(from_start), operand(result.state));
    add_product(output, operand(scores), v);
    result.output.middleRows(first, rows) = output;
    decay_state_rows(result.state, b);
    add_product(result.state, operand(keys_at_end(k, b)).transpose(), v);
  }
  return result;
}

// The quadratic form, every pair with its own exponents: o_i = sum_j (sum_d q_id k_jd e^{b_id - b_jd}) v_j (GLA eq. 3).
template <class Number>
Matrix<Number> gated_linear_attention_quadratic(const GatedHead<Number>& head) {
  const Eigen::Index tokens = head.v.rows();
  const Matrix<Number> b = cumulative_rows(head.log_decay, 0, tokens);
  return product(decayed_scores(head.q, b, head.k, b, Diagonal::kept, tokens), head.v);
}

}  // namespace lightcone::models::reference
