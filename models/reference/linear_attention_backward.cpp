// SPDX-License-Identifier: Apache-2.0
#include "models/reference/linear_attention_backward.h"

namespace lightcone::models::reference {

namespace {

// The state before every chunk.
std::vector<Matrix<double>> chunk_states(const LinearHead<double>& head, Eigen::Index chunk) {
  std::vector<Matrix<double>> states{head.start()};
  for (Eigen::Index first = 0; first < head.v.rows(); first += chunk) {
    const Eigen::Index rows = std::min(chunk, head.v.rows() - first);
    const Vector<double> b = cumulative(head.log_decay, first, rows);
    Matrix<double> state = states.back();
    decay_state(state, b);
    add_product(state, decayed_to_end(Matrix<double>(head.k.middleRows(first, rows)), b).transpose(),
                head.v.middleRows(first, rows));
    states.push_back(state);
  }
  return states;
}

}  // namespace

LinearHeadGradients linear_attention_backward(const LinearHead<double>& head, Eigen::Index chunk,
                                              const Matrix<double>& output_gradient,
                                              const Matrix<double>& state_gradient) {
  const Eigen::Index tokens = head.v.rows();
  const std::vector<Matrix<double>> states = chunk_states(head, chunk);
  LinearHeadGradients gradients{Matrix<double>(tokens, head.q.cols()), Matrix<double>(tokens, head.k.cols()),
                                Matrix<double>(tokens, head.v.cols()), Vector<double>(), state_gradient};
  Matrix<double>& d_state = gradients.initial;
  for (Eigen::Index c = Eigen::Index(states.size()) - 2; c >= 0; --c) {
    const Eigen::Index first = c * chunk, rows = std::min(chunk, tokens - first);
    const Matrix<double> q = head.q.middleRows(first, rows), k = head.k.middleRows(first, rows),
                         v = head.v.middleRows(first, rows), d_o = output_gradient.middleRows(first, rows);
    const Vector<double> b = cumulative(head.log_decay, first, rows);
    // 1. Inside the chunk.
    Matrix<double> scores = product(q, k.transpose()), d_scores = product(d_o, v.transpose());
    mask_and_decay(scores, b);
    mask_and_decay(d_scores, b);
    Matrix<double> d_v = product(scores.transpose(), d_o), d_q = product(d_scores, k),
                   d_k = product(d_scores.transpose(), q);
    // 2. Through the state at the start and at the end.
    d_q += decayed_from_start(product(d_o, states[std::size_t(c)].transpose()), b);
    d_k += decayed_to_end(product(v, d_state.transpose()), b);
    d_v += product(decayed_to_end(k, b), d_state);
    decay_state(d_state, b);
    add_product(d_state, decayed_from_start(q, b).transpose(), d_o);
    gradients.q.middleRows(first, rows) = d_q;
    gradients.k.middleRows(first, rows) = d_k;
    gradients.v.middleRows(first, rows) = d_v;
  }
  if (head.log_decay.size() == 0) return gradients;
  // 3. Every term is e^{b_i - b_j}: with i a query or the end, with j a key. So the gradient of b_t is q.dq - k.dk, the
  //    end adds the final state; b is a sum of g, so the gradient of g is a sum from the back.
  Vector<double> d_b = (head.q.cwiseProduct(gradients.q) - head.k.cwiseProduct(gradients.k)).rowwise().sum();
  d_b(tokens - 1) += states.back().cwiseProduct(state_gradient).sum();
  for (Eigen::Index t = tokens - 2; t >= 0; --t) d_b(t) += d_b(t + 1);
  gradients.log_decay = d_b;
  return gradients;
}

}  // namespace lightcone::models::reference
