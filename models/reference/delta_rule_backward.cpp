// SPDX-License-Identifier: Apache-2.0
#include "models/reference/delta_rule_backward.h"

#include "models/reference/context_parallel.h"

namespace lightcone::models::reference {

namespace {

// The state before every chunk, and after the last.
std::vector<Matrix<double>> chunk_states(const DeltaHead<double>& head, Eigen::Index chunk) {
  std::vector<StateMap<double>> maps;
  for (Eigen::Index first = 0; first < head.v.rows(); first += chunk) {
    maps.push_back(state_map(chunk_of_deltas(head, first, std::min(chunk, head.v.rows() - first))));
  }
  return merged_states(maps, head.start());
}

// Sums of each row of a o b.
Vector<double> row_products(const Matrix<double>& a, const Matrix<double>& b) {
  return a.cwiseProduct(b).rowwise().sum();
}

// What one chunk adds to the gradients of its inputs; d_state goes from the chunk's end to its start.
struct ChunkGradients {
  Matrix<double> q, k, v;
  Vector<double> beta, b;  // b: of the cumulative log decay
};

ChunkGradients chunk_backward(const DeltaHead<double>& head, Eigen::Index first, Eigen::Index rows,
                              const Matrix<double>& state, const Matrix<double>& d_o, Matrix<double>& d_state) {
  const Matrix<double> q = head.q.middleRows(first, rows), k = head.k.middleRows(first, rows),
                       v = head.v.middleRows(first, rows);
  const Vector<double> beta = head.beta.segment(first, rows), b = cumulative(head.log_decay, first, rows);
  // 1. The forward pass again: R = Diag(beta) (V - (K e^b) S), V' = (I + A)^{-1} R.
  Matrix<double> kk = k * k.transpose(), scores = q * k.transpose();
  mask_and_decay(kk, b, false);
  mask_and_decay(scores, b);
  const Matrix<double> inverse = unit_lower_inverse(scaled_rows(kk, beta));
  const Matrix<double> k_start = decayed_from_start(k, b), k_end = decayed_to_end(k, b);
  const Matrix<double> errors = v - k_start * state, values = inverse * scaled_rows(errors, beta);
  // 2. Gradients of V', of R and of A.
  const Matrix<double> d_values = scores.transpose() * d_o + k_end * d_state;
  const Matrix<double> d_r = inverse.transpose() * d_values;
  Matrix<double> d_scores = d_o * values.transpose(), d_a = -d_r * values.transpose();
  const Matrix<double> a_terms = d_a.cwiseProduct(kk), score_terms = d_scores.cwiseProduct(scores);
  mask_and_decay(d_scores, b);
  mask_and_decay(d_a, b, false);
  const Matrix<double> d_kk = scaled_rows(d_a, beta), d_errors = scaled_rows(d_r, beta);
  // 3. Gradients of the inputs: of q and k through the state apart, since their decays differ.
  const Matrix<double> q_from_state = decayed_from_start(Matrix<double>(d_o * state.transpose()), b);
  const Matrix<double> k_from_state = -decayed_from_start(Matrix<double>(d_errors * state.transpose()), b);
  const Matrix<double> k_to_state = decayed_to_end(Matrix<double>(values * d_state.transpose()), b);
  ChunkGradients gradients;
  gradients.q = d_scores * k + q_from_state;
  gradients.k = d_scores.transpose() * q + d_kk * k + d_kk.transpose() * k + k_from_state + k_to_state;
  gradients.v = d_errors;
  gradients.beta = row_products(d_r, errors) + a_terms.rowwise().sum();
  // 4. Of b: rows enter with e^{b}, columns with e^{-b}, the end of the chunk with e^{b_C}.
  const Matrix<double> pairs = score_terms + scaled_rows(a_terms, beta);
  gradients.b = pairs.rowwise().sum() - pairs.colwise().sum().transpose() + row_products(q, q_from_state) +
                row_products(k, k_from_state) - row_products(k, k_to_state);
  Matrix<double> decayed = state;
  decay_state(decayed, b);
  gradients.b(rows - 1) += d_state.cwiseProduct(decayed).sum() + row_products(k, k_to_state).sum();
  // 5. Of the state before the chunk.
  decay_state(d_state, b);
  d_state += decayed_from_start(q, b).transpose() * d_o - k_start.transpose() * d_errors;
  return gradients;
}

}  // namespace

DeltaHeadGradients delta_rule_backward(const DeltaHead<double>& head, Eigen::Index chunk,
                                       const Matrix<double>& output_gradient, const Matrix<double>& state_gradient) {
  const Eigen::Index tokens = head.v.rows();
  const std::vector<Matrix<double>> states = chunk_states(head, chunk);
  DeltaHeadGradients gradients{head.q, head.k, head.v, head.beta, head.log_decay, state_gradient};
  for (Eigen::Index c = Eigen::Index(states.size()) - 2; c >= 0; --c) {
    const Eigen::Index first = c * chunk, rows = std::min(chunk, tokens - first);
    ChunkGradients part = chunk_backward(head, first, rows, states[std::size_t(c)],
                                         output_gradient.middleRows(first, rows), gradients.initial);
    gradients.q.middleRows(first, rows) = part.q;
    gradients.k.middleRows(first, rows) = part.k;
    gradients.v.middleRows(first, rows) = part.v;
    gradients.beta.segment(first, rows) = part.beta;
    if (head.log_decay.size() == 0) continue;
    for (Eigen::Index i = rows - 2; i >= 0; --i) part.b(i) += part.b(i + 1);  // b is a running sum of g
    gradients.log_decay.segment(first, rows) = part.b;
  }
  return gradients;
}

}  // namespace lightcone::models::reference
