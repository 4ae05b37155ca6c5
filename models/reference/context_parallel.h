// SPDX-License-Identifier: Apache-2.0
// A sequence split over ranks: a segment of any linear recurrence maps the state before it affinely, S' = M S + E.
// Ranks compute their (M, E) alone, gather all of them, and apply those before their own to the first state
// (flash-linear- attention, fla/ops/cp; LASP-2: Sun et al. 2025, arXiv 2502.07563, has the case of a diagonal M).
#pragma once

#include <vector>

#include "models/reference/delta_rule.h"

namespace lightcone::models::reference {

template <class Number>
struct StateMap {
  Matrix<Number> m;  // dk x dk
  Matrix<Number> e;  // dk x dv: the state after the segment when it starts from zero
};

// First `a`, then `b`.
template <class Number>
StateMap<Number> compose(const StateMap<Number>& a, const StateMap<Number>& b) {
  Matrix<Number> e = b.e;
  add_product(e, b.m, a.e);
  return {product(b.m, a.m), e};
}

// The state before every segment, and after the last.
template <class Number>
std::vector<Matrix<Number>> merged_states(const std::vector<StateMap<Number>>& segments, Matrix<Number> state) {
  std::vector<Matrix<Number>> states{state};
  for (const StateMap<Number>& map : segments) {
    state = map.e + product(map.m, state);
    states.push_back(state);
  }
  return states;
}

// The map of one chunk of the delta rule: M = e^{b_C} I - (K e^{b_C - b})^T W, E = (K e^{b_C - b})^T U.
template <class Number>
StateMap<Number> state_map(const ChunkOfDeltas<Number>& c) {
  using std::exp;
  const Matrix<Number> keys = decayed_to_end(c.k, c.b).transpose();
  const Number decay = c.b.size() != 0 ? exp(c.b(c.b.size() - 1)) : Number(1);
  return {Matrix<Number>::Identity(keys.rows(), keys.rows()) * decay - product(keys, c.w), product(keys, c.u)};
}

// The map of tokens first .. first + rows, chunk by chunk.
template <class Number>
StateMap<Number> state_map(const DeltaHead<Number>& head, Eigen::Index first, Eigen::Index rows, Eigen::Index chunk) {
  const Eigen::Index dk = head.k.cols();
  StateMap<Number> map{Matrix<Number>::Identity(dk, dk), Matrix<Number>::Zero(dk, head.v.cols())};
  for (Eigen::Index at = first; at < first + rows; at += chunk) {
    map = compose(map, state_map(chunk_of_deltas(head, at, std::min(chunk, first + rows - at))));
  }
  return map;
}

}  // namespace lightcone::models::reference
