// SPDX-License-Identifier: Apache-2.0
// mLSTM: a matrix memory with exponential input gate and sigmoid forget gate, C_t = f_t C_{t-1} + i_t k_t v_t^T, n_t =
// f_t n_{t-1} + i_t k_t, h_t = C_t^T q_t / max(|n_t.q_t|, 1), kept divided by e^{m_t} with m the running maximum of the
// log gates (xLSTM: Beck et al. 2024, arXiv 2405.04517, section 2.3 and appendix; chunk form: Tiled Flash Linear
// Attention, arXiv 2503.14376). One head; rows are tokens.
#pragma once

#include <algorithm>
#include <limits>

#include "models/reference/activations.h"
#include "models/reference/gemm.h"
#include "models/reference/linear_attention.h"

namespace lightcone::models::reference {

template <class Number>
struct MlstmHead {
  Matrix<Number> q, k, v;                 // T x dk (q scaled by dk^{-1/2}), T x dk, T x dv
  Vector<Number> input_gate, log_forget;  // T: i before its exponential, log sigmoid(f)
  Number epsilon = Number(1e-6);          // added to the denominator, as in the published kernels
};

template <class Number>
struct MlstmState {
  Matrix<Number> c;  // dk x dv
  Matrix<Number> n;  // dk x 1
  Number m;          // log of what c and n are divided by
};

template <class Number>
struct MlstmResult {
  Matrix<Number> output;  // T x dv
  MlstmState<Number> state;
};

template <class Number>
MlstmState<Number> mlstm_start(const MlstmHead<Number>& head) {
  return {Matrix<Number>::Zero(head.k.cols(), head.v.cols()), Matrix<Number>::Zero(head.k.cols(), 1), Number(0)};
}

// The definition without a stabiliser.
inline Matrix<double> mlstm_plain(const MlstmHead<double>& head) {
  Matrix<double> c = Matrix<double>::Zero(head.k.cols(), head.v.cols()), output(head.v.rows(), head.v.cols());
  Vector<double> n = Vector<double>::Zero(head.k.cols());
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    const double f = std::exp(head.log_forget(t)), i = std::exp(head.input_gate(t));
    c = f * c + i * head.k.row(t).transpose() * head.v.row(t);
    n = f * n + i * head.k.row(t).transpose();
    output.row(t) = head.q.row(t) * c / std::max(std::abs(head.q.row(t).dot(n)), 1.0);
  }
  return output;
}

// Token by token, stabilised: 6 dk dv + 5 dk + dv + 4 FLOP.
template <class Number>
MlstmResult<Number> mlstm_recurrent(const MlstmHead<Number>& head) {
  using std::abs;
  using std::exp;
  MlstmResult<Number> result{Matrix<Number>(head.v.rows(), head.v.cols()), mlstm_start(head)};
  auto& [c, n, m] = result.state;
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    const Number decayed = head.log_forget(t) + m, next = std::max(decayed, head.input_gate(t));
    const Number f = exp(decayed - next), i = exp(head.input_gate(t) - next);
    const Matrix<Number> k = head.k.row(t).transpose(), outer = k.lazyProduct(head.v.row(t));
    c = c * f + outer * i;
    n = n * f + k * i;
    m = next;
    const Matrix<Number> qc = product(head.q.row(t), c);
    const Number qn = product(head.q.row(t), n)(0), below = std::max(Number(abs(qn)), Number(exp(-m))) + head.epsilon;
    result.output.row(t) = qc / below;
  }
  return result;
}

// The form that kernels run: per chunk log D_ij = b_i - b_j + i_j inside it, b_i + m from before it; every row has its
// own maximum m_i, the state that of the chunk's end. GEMMs 2C(dk + dv) + 4 dk dv FLOP per token, and for n 4 dk.
template <class Number, class Operands = ExactOperands>
MlstmResult<Number> mlstm_chunked(const MlstmHead<Number>& head, Eigen::Index chunk, Operands operand = {}) {
  using std::abs;
  using std::exp;
  const Eigen::Index tokens = head.v.rows();
  MlstmResult<Number> result{Matrix<Number>(tokens, head.v.cols()), mlstm_start(head)};
  auto& [c, n, m] = result.state;
  for (Eigen::Index first = 0; first < tokens; first += chunk) {
    const Eigen::Index rows = std::min(chunk, tokens - first);
    const Matrix<Number> q = operand(Matrix<Number>(head.q.middleRows(first, rows)));
    const Matrix<Number> k = operand(Matrix<Number>(head.k.middleRows(first, rows)));
    const Matrix<Number> v = operand(Matrix<Number>(head.v.middleRows(first, rows)));
    const Vector<Number> b = cumulative(head.log_forget, first, rows), in = head.input_gate.segment(first, rows);
    // 1. Outputs.
    Matrix<Number> scores = product(q, k.transpose());
    Vector<Number> top(rows), before(rows), below(rows);
    for (Eigen::Index i = 0; i < rows; ++i) {
      Vector<Number> log_d(i + 1);
      for (Eigen::Index j = 0; j <= i; ++j) log_d(j) = b(i) - b(j) + in(j);
      top(i) = std::max(Number(b(i) + m), Number(log_d.maxCoeff()));
      before(i) = exp(b(i) + m - top(i));
      for (Eigen::Index j = 0; j < rows; ++j) {
        scores(i, j) = j <= i ? Number(scores(i, j) * exp(log_d(j) - top(i))) : Number(0);
      }
    }
    Matrix<Number> output = product(q, operand(c));
    const Matrix<Number> qn = product(q, n);
    for (Eigen::Index i = 0; i < rows; ++i) {
      output.row(i) *= before(i);
      const Number sum = before(i) * qn(i) + scores.row(i).sum();
      below(i) = std::max(Number(abs(sum)), Number(exp(-top(i)))) + head.epsilon;
    }
    add_product(output, operand(scores), v);
    for (Eigen::Index i = 0; i < rows; ++i) output.row(i) /= below(i);
    result.output.middleRows(first, rows) = output;
    // 2. The state at the chunk's end.
    const Number next = top(rows - 1), keep = before(rows - 1);
    Matrix<Number> keys = k;
    for (Eigen::Index j = 0; j < rows; ++j) keys.row(j) *= exp(b(rows - 1) - b(j) + in(j)-next);
    c *= keep;
    add_product(c, operand(keys).transpose(), v);
    n = n * keep + keys.colwise().sum().transpose();
    m = next;
  }
  return result;
}

// The quadratic form of the paper (its appendix, "parallel"): no state before, so the rows' maxima are those of log D
// alone.
template <class Number>
Matrix<Number> mlstm_parallel(const MlstmHead<Number>& head) {
  using std::abs;
  using std::exp;
  const Eigen::Index tokens = head.v.rows();
  const Vector<Number> b = cumulative(head.log_forget, 0, tokens);
  Matrix<Number> scores = product(head.q, head.k.transpose());
  Vector<Number> below(tokens);
  for (Eigen::Index i = 0; i < tokens; ++i) {
    Number top = b(i) - b(0) + head.input_gate(0);
    for (Eigen::Index j = 1; j <= i; ++j) top = std::max(top, Number(b(i) - b(j) + head.input_gate(j)));
    Number sum(0);
    for (Eigen::Index j = 0; j < tokens; ++j) {
      scores(i, j) = j <= i ? Number(scores(i, j) * exp(b(i) - b(j) + head.input_gate(j) - top)) : Number(0);
      sum += scores(i, j);
    }
    below(i) = std::max(Number(abs(sum)), Number(exp(-top))) + head.epsilon;
  }
  Matrix<Number> output = product(scores, head.v);
  for (Eigen::Index i = 0; i < tokens; ++i) output.row(i) /= below(i);
  return output;
}

}  // namespace lightcone::models::reference
