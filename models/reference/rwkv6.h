// SPDX-License-Identifier: Apache-2.0
// The WKV operator of RWKV-5 and RWKV-6: a state of dk x dv with one decay per key channel, read before it is updated,
// with a bonus u for the present token: o_t = (S_{t-1} + Diag(u) k_t v_t^T)^T r_t, S_t = Diag(e^{g_t}) S_{t-1} + k_t
// v_t^T (Peng et al. 2024, arXiv 2404.05892, section 4). In RWKV-5 the decays are the same for all tokens. One head.
#pragma once

#include "models/reference/gated_linear_attention.h"

namespace lightcone::models::reference {

// `head.q` is the receptance r; bonus: dk.
template <class Number>
HeadResult<Number> rwkv6_recurrent(const GatedHead<Number>& head, const Vector<Number>& bonus) {
  HeadResult<Number> result{Matrix<Number>(head.v.rows(), head.v.cols()), head.start()};
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    const Matrix<Number> update = product(head.k.row(t).transpose(), head.v.row(t));
    Matrix<Number> seen = update;
    for (Eigen::Index i = 0; i < seen.rows(); ++i) seen.row(i) *= bonus(i);
    seen += result.state;
    result.output.row(t) = product(head.q.row(t), seen);
    decay_state_rows(result.state, Matrix<Number>(head.log_decay.row(t)));
    result.state += update;
  }
  return result;
}

// The chunk form: token i sees token j < i through e^{b_{i-1} - b_j}, itself through the bonus.
template <class Number, class Operands = ExactOperands>
HeadResult<Number> rwkv6_chunked(const GatedHead<Number>& head, const Vector<Number>& bonus, Eigen::Index chunk,
                                 Eigen::Index sub_block = 16, Operands operand = {}) {
  const Eigen::Index tokens = head.v.rows();
  HeadResult<Number> result{Matrix<Number>(tokens, head.v.cols()), head.start()};
  for (Eigen::Index first = 0; first < tokens; first += chunk) {
    const Eigen::Index rows = std::min(chunk, tokens - first);
    const Matrix<Number> q = head.q.middleRows(first, rows), k = head.k.middleRows(first, rows);
    const Matrix<Number> v = operand(Matrix<Number>(head.v.middleRows(first, rows)));
    const Matrix<Number> b = cumulative_rows(head.log_decay, first, rows);
    const Matrix<Number> before = b - head.log_decay.middleRows(first, rows);
    Matrix<Number> scores = decayed_scores(q, before, k, b, Diagonal::excluded, sub_block, operand);
    for (Eigen::Index i = 0; i < rows; ++i) {
      for (Eigen::Index d = 0; d < bonus.size(); ++d) scores(i, i) += q(i, d) * bonus(d) * k(i, d);
    }
    const Matrix<Number> from_start = q.cwiseProduct(exponentials<Number>(before));
    Matrix<Number> output = product(operand(from_start), operand(result.state));
    add_product(output, operand(scores), v);
    result.output.middleRows(first, rows) = output;
    decay_state_rows(result.state, b);
    add_product(result.state, operand(keys_at_end(k, b)).transpose(), v);
  }
  return result;
}

}  // namespace lightcone::models::reference
