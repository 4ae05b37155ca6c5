// SPDX-License-Identifier: Apache-2.0
// The delta rule: S~ = e^{g_t} S_{t-1}, u_t = beta_t (v_t - S~^T k_t), S_t = S~ + k_t u_t^T, o_t = S_t^T q_t.
// DeltaNet (no decay; Schlag et al. 2021, arXiv 2102.11174; chunk form: Yang et al. 2024, arXiv 2406.06484), Gated
// DeltaNet (Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464). One head; rows are tokens; keys normalised before.
#pragma once

#include <algorithm>

#include "models/reference/gemm.h"
#include "models/reference/linear_attention.h"

namespace lightcone::models::reference {

template <class Number>
struct DeltaHead {
  Matrix<Number> q, k, v;    // T x dk (q already scaled), T x dk, T x dv
  Vector<Number> beta;       // T writing strengths in (0, 1)
  Vector<Number> log_decay;  // T, g <= 0; empty: DeltaNet
  Matrix<Number> initial;    // dk x dv; empty: zero

  [[nodiscard]] Matrix<Number> start() const {
    return initial.size() != 0 ? initial : Matrix<Number>::Zero(k.cols(), v.cols());
  }
};

// Rows of unit length, x / sqrt(|x|^2 + 1e-6).
inline Matrix<double> unit_rows(Matrix<double> rows) {
  for (Eigen::Index t = 0; t < rows.rows(); ++t) rows.row(t) /= std::sqrt(rows.row(t).squaredNorm() + 1e-6);
  return rows;
}

// The definition, token by token: 6 dk dv FLOP, 7 dk dv with a decay, and 2 dv for u.
template <class Number>
HeadResult<Number> delta_rule_recurrent(const DeltaHead<Number>& head) {
  using std::exp;
  HeadResult<Number> result{Matrix<Number>(head.v.rows(), head.v.cols()), head.start()};
  Matrix<Number>& state = result.state;
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    if (head.log_decay.size() != 0) state *= exp(head.log_decay(t));
    const Matrix<Number> error = head.v.row(t) - product(head.k.row(t), state);
    const Matrix<Number> u = error * head.beta(t);
    add_product(state, head.k.row(t).transpose(), u);
    result.output.row(t) = product(head.q.row(t), state);
  }
  return result;
}

// (I + A)^{-1} of a strictly lower triangular A, row by row as the kernels do: row i of the inverse is e_i minus row i
// of A times the rows above. 2 (n-1) n (2n-1) / 6, about 2 n^3 / 3 FLOP.
template <class Number>
Matrix<Number> unit_lower_inverse(const Matrix<Number>& a) {
  const Eigen::Index n = a.rows();
  Matrix<Number> inverse = Matrix<Number>::Identity(n, n);
  for (Eigen::Index i = 1; i < n; ++i) {
    const Matrix<Number> row = product(a.row(i).head(i), inverse.topLeftCorner(i, i));
    inverse.row(i).head(i) = -row;
  }
  return inverse;
}

// Rows scaled one by one.
template <class Number>
Matrix<Number> scaled_rows(Matrix<Number> rows, const Vector<Number>& scale) {
  for (Eigen::Index i = 0; i < rows.rows(); ++i) rows.row(i) *= scale(i);
  return rows;
}

// The WY representation of one chunk: with A = StrictTril(Diag(beta) (K K^T) o D) and (I + A)^{-1} = T, W = T
// Diag(beta) (K e^b) and U = T Diag(beta) V; the u of the recurrence are then the rows of V' = U - W S (Gated DeltaNet
// eq. 10).
template <class Number>
struct ChunkOfDeltas {
  Matrix<Number> q, k;  // rows x dk
  Vector<Number> b;     // cumulative log decay; empty: none
  Matrix<Number> w, u;  // rows x dk, rows x dv
};

template <class Number, class Operands = ExactOperands>
ChunkOfDeltas<Number> chunk_of_deltas(const DeltaHead<Number>& head, Eigen::Index first, Eigen::Index rows,
                                      Operands operand = {}) {
  ChunkOfDeltas<Number> c;
  c.q = operand(Matrix<Number>(head.q.middleRows(first, rows)));
  c.k = operand(Matrix<Number>(head.k.middleRows(first, rows)));
  c.b = cumulative(head.log_decay, first, rows);
  const Vector<Number> beta = head.beta.segment(first, rows);
  Matrix<Number> a = product(operand(scaled_rows(c.k, beta)), c.k.transpose());
  mask_and_decay(a, c.b, false);
  const Matrix<Number> inverse = operand(unit_lower_inverse(a));
  c.w = product(inverse, operand(scaled_rows(decayed_from_start(c.k, c.b), beta)));
  c.u = product(inverse, operand(scaled_rows(Matrix<Number>(head.v.middleRows(first, rows)), beta)));
  return c;
}

// The form that kernels run: V' = U - W S, O = (Q e^b) S + ((Q K^T) o D) V', S' = e^{b_C} S + (K e^{b_C - b})^T V'.
// GEMMs 2C(3 dk + 2 dv) + 6 dk dv FLOP per token, the inverse about 2 C^2 / 3. One chunk of T tokens is the quadratic
// form.
template <class Number, class Operands = ExactOperands>
HeadResult<Number> delta_rule_chunked(const DeltaHead<Number>& head, Eigen::Index chunk, Operands operand = {}) {
  const Eigen::Index tokens = head.v.rows();
  HeadResult<Number> result{Matrix<Number>(tokens, head.v.cols()), head.start()};
  for (Eigen::Index first = 0; first < tokens; first += chunk) {
    const Eigen::Index rows = std::min(chunk, tokens - first);
    const ChunkOfDeltas<Number> c = chunk_of_deltas(head, first, rows, operand);
    const Matrix<Number> state = operand(result.state);
    const Matrix<Number> exact_values = c.u - product(operand(c.w), state), values = operand(exact_values);
    Matrix<Number> scores = product(c.q, c.k.transpose());
    mask_and_decay(scores, c.b);
    Matrix<Number> output = decayed_from_start(product(c.q, state), c.b);
    add_product(output, operand(scores), values);
    result.output.middleRows(first, rows) = output;
    decay_state(result.state, c.b);
    add_product(result.state, operand(decayed_to_end(c.k, c.b)).transpose(), values);
  }
  return result;
}

}  // namespace lightcone::models::reference
