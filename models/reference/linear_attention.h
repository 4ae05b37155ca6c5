// SPDX-License-Identifier: Apache-2.0
// Linear attention with one decay per token and head: S_t = e^{g_t} S_{t-1} + k_t v_t^T, o_t = S_t^T q_t.
// Linear Transformer (no decay; Katharopoulos et al. 2020, arXiv 2006.16236), RetNet (Sun et al. 2023, arXiv
// 2307.08621), Lightning Attention (Qin et al. 2024, arXiv 2401.04658); Mamba-2 is the same with gated inputs. One
// head; rows are tokens.
#pragma once

#include <algorithm>
#include <vector>

#include "models/reference/gemm.h"

namespace lightcone::models::reference {

template <class Number>
struct LinearHead {
  Matrix<Number> q, k, v;    // T x dk (q already scaled), T x dk, T x dv
  Vector<Number> log_decay;  // T values g <= 0; empty: no decay
  Matrix<Number> initial;    // dk x dv; empty: zero

  [[nodiscard]] Matrix<Number> start() const {
    return initial.size() != 0 ? initial : Matrix<Number>::Zero(k.cols(), v.cols());
  }
};

template <class Number>
struct HeadResult {
  Matrix<Number> output;  // T x dv
  Matrix<Number> state;   // dk x dv, after the last token
};

// log(1 - 2^(-5 - head)), the decay of RetNet's heads (its eq. 8).
inline double retnet_log_decay(int head) { return std::log1p(-std::exp2(-5.0 - head)); }

// -(8 i / H) (1 - l/L), i = 1..H: the decay of Lightning Attention in TransNormerLLM (arXiv 2307.14995, eq. 2).
inline double lightning_log_decay(int head, int heads, int layer, int layers) {
  return -8.0 * (head + 1) / heads * (1.0 - double(layer) / layers);
}

// One token: decays the state (dk x dv), adds k v^T and reads it with q. `decay` may be null.
// 4 dk dv FLOP, 5 dk dv with a decay.
template <class Number>
Vector<Number> linear_attention_step(Matrix<Number>& state, const Vector<Number>& q, const Vector<Number>& k,
                                     const Vector<Number>& v, const Number* decay) {
  if (decay != nullptr) state *= *decay;
  add_product(state, k, v.transpose());
  return product(state.transpose(), q).col(0);
}

// The definition, token by token.
template <class Number>
HeadResult<Number> linear_attention_recurrent(const LinearHead<Number>& head) {
  using std::exp;
  HeadResult<Number> result{Matrix<Number>(head.v.rows(), head.v.cols()), head.start()};
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    const bool decays = head.log_decay.size() != 0;
    const Number decay = decays ? exp(head.log_decay(t)) : Number(1);
    result.output.row(t) = linear_attention_step<Number>(result.state, head.q.row(t), head.k.row(t), head.v.row(t),
                                                         decays ? &decay : nullptr);
  }
  return result;
}

// b_i = g_first + ... + g_i inside a chunk; empty without decay.
template <class Number>
Vector<Number> cumulative(const Vector<Number>& log_decay, Eigen::Index first, Eigen::Index rows) {
  if (log_decay.size() == 0) return {};
  Vector<Number> b = log_decay.segment(first, rows);
  for (Eigen::Index i = 1; i < rows; ++i) b(i) += b(i - 1);
  return b;
}

// scores_ij e^{b_i - b_j} where i >= j (i > j without the diagonal), zero above. b empty: the mask alone.
template <class Number>
void mask_and_decay(Matrix<Number>& scores, const Vector<Number>& b, bool with_diagonal = true) {
  using std::exp;
  for (Eigen::Index i = 0; i < scores.rows(); ++i) {
    const Eigen::Index end = with_diagonal ? i + 1 : i;
    for (Eigen::Index j = end; j < scores.cols(); ++j) scores(i, j) = Number(0);
    for (Eigen::Index j = 0; j < end && b.size() != 0; ++j) scores(i, j) *= exp(b(i) - b(j));
  }
}

// Rows scaled by e^{b_i} (from the start of the chunk), and by e^{b_last - b_i} (to its end). b empty: as they are.
template <class Number>
Matrix<Number> decayed_from_start(Matrix<Number> rows, const Vector<Number>& b) {
  using std::exp;
  for (Eigen::Index i = 0; i < b.size(); ++i) rows.row(i) *= exp(b(i));
  return rows;
}
template <class Number>
Matrix<Number> decayed_to_end(Matrix<Number> rows, const Vector<Number>& b) {
  using std::exp;
  for (Eigen::Index i = 0; i < b.size(); ++i) rows.row(i) *= exp(b(b.size() - 1) - b(i));
  return rows;
}
template <class Number>
void decay_state(Matrix<Number>& state, const Vector<Number>& b) {
  using std::exp;
  if (b.size() != 0) state *= exp(b(b.size() - 1));
}

// The form that kernels run: per chunk O = (Q e^b) S + ((Q K^T) o D) V and S' = e^{b_C} S + (K e^{b_C - b})^T V with
// D_ij = e^{b_i - b_j} (RetNet eq. 7; GEMMs 2C(dk+dv) + 4 dk dv FLOP per token, full masked tiles). `operand` rounds
// what enters a GEMM.
template <class Number, class Operands = ExactOperands>
HeadResult<Number> linear_attention_chunked(const LinearHead<Number>& head, Eigen::Index chunk, Operands operand = {}) {
  const Eigen::Index tokens = head.v.rows();
  HeadResult<Number> result{Matrix<Number>(tokens, head.v.cols()), head.start()};
  for (Eigen::Index first = 0; first < tokens; first += chunk) {
    const Eigen::Index rows = std::min(chunk, tokens - first);
    const Matrix<Number> q = operand(Matrix<Number>(head.q.middleRows(first, rows)));
    const Matrix<Number> k = operand(Matrix<Number>(head.k.middleRows(first, rows)));
    const Matrix<Number> v = operand(Matrix<Number>(head.v.middleRows(first, rows)));
    const Vector<Number> b = cumulative(head.log_decay, first, rows);
    Matrix<Number> scores = product(q, k.transpose());
    mask_and_decay(scores, b);
    Matrix<Number> output = decayed_from_start(product(q, operand(result.state)), b);
    add_product(output, operand(scores), v);
    result.output.middleRows(first, rows) = output;
    decay_state(result.state, b);
    add_product(result.state, operand(decayed_to_end(k, b)).transpose(), v);
  }
  return result;
}

// The quadratic form: one chunk that holds everything, without a state: O = ((Q K^T) o D) V.
template <class Number>
Matrix<Number> linear_attention_quadratic(const LinearHead<Number>& head) {
  Matrix<Number> scores = product(head.q, head.k.transpose());
  mask_and_decay(scores, cumulative(head.log_decay, 0, head.v.rows()));
  return product(scores, head.v);
}

// A column of ones beside the values: the state then also holds the sum of the keys, z (Katharopoulos eq. 10).
template <class Number>
LinearHead<Number> with_normaliser(LinearHead<Number> head) {
  head.v.conservativeResize(Eigen::NoChange, head.v.cols() + 1);
  head.v.rightCols(1).setOnes();
  return head;
}

// Divides the outputs by their last column, q.z (Katharopoulos eq. 9).
template <class Number>
Matrix<Number> normalised(const Matrix<Number>& output) {
  Matrix<Number> divided = output.leftCols(output.cols() - 1);
  for (Eigen::Index t = 0; t < output.rows(); ++t) divided.row(t) /= output(t, output.cols() - 1);
  return divided;
}

}  // namespace lightcone::models::reference
