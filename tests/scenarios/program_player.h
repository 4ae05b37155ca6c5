// SPDX-License-Identifier: Apache-2.0
// Plays one CTA of a tile program without time: its roles take turns, each as far as it can go. Tells whether all of
// them reach the end; a program that stops here deadlocks on any machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "hardware/program/tile_program.h"

namespace lightcone::testing {

class ProgramPlayer {
 public:
  // `items`: work items played one after another by the same CTA (persistent kernels), all of this group.
  ProgramPlayer(const hardware::TileProgram& program, const hardware::CtaGroup& group, int items)
      : class_(program.classes[group.cta_class]), group_(group), items_(items) {
    for (const hardware::Role& role : class_.roles) {
      State state;
      state.waited.resize(class_.pipes.size());
      state.released.resize(class_.pipes.size());
      states_.push_back(state);
      std::map<std::uint8_t, bool> ids;
      for (const hardware::Op& op : role.ops) {
        if (const auto* barrier = std::get_if<hardware::CtaBarrier>(&op)) ids[barrier->id] = true;
        if (const auto* release = std::get_if<hardware::ReleaseStage>(&op))
          states_.back().consumes |= 1u << release->pipe;
      }
      for (const auto& [id, present] : ids) participants_[id] += present;
    }
    acquired_.resize(class_.pipes.size());
    committed_.resize(class_.pipes.size());
  }

  // Empty when every role finished; else where each one stands.
  std::string run() {
    bool progress = true;
    while (progress) {
      progress = false;
      for (std::size_t role = 0; role < states_.size(); ++role) {
        while (step(role)) progress = true;
      }
    }
    std::string stuck;
    for (std::size_t role = 0; role < states_.size(); ++role) {
      if (!finished(role)) stuck += class_.roles[role].name + " at op " + std::to_string(states_[role].at) + "; ";
    }
    return stuck;
  }

 private:
  struct State {
    std::size_t at = 0;
    int item = 0;
    std::int64_t loop[2] = {0, 0};
    std::vector<std::size_t> open;  // positions of the open loops
    std::vector<std::uint64_t> waited, released;
    std::map<std::uint8_t, std::uint64_t> arrived;  // barriers
    bool at_barrier = false;
    unsigned consumes = 0;
  };

  [[nodiscard]] bool finished(std::size_t role) const { return states_[role].item == items_; }

  [[nodiscard]] std::uint64_t freed(std::uint8_t pipe) const {
    std::uint64_t least = ~std::uint64_t{0};
    for (const State& state : states_) {
      if (state.consumes & (1u << pipe)) least = std::min(least, state.released[pipe]);
    }
    return least;
  }

  bool step(std::size_t role) {
    State& state = states_[role];
    if (finished(role)) return false;
    const std::vector<hardware::Op>& ops = class_.roles[role].ops;
    if (state.at == ops.size()) {
      state.at = 0;
      ++state.item;
      return true;
    }
    if (!std::visit([&](const auto& op) { return allow(state, op); }, ops[state.at])) return false;
    if (const auto* begin = std::get_if<hardware::LoopBegin>(&ops[state.at])) {
      if (group_.loops[begin->loop].count == 0) {
        skip_loop(state, ops);
      } else {
        state.open.push_back(state.at);
        state.loop[begin->loop] = 0;
      }
    } else if (std::holds_alternative<hardware::LoopEnd>(ops[state.at])) {
      const std::uint8_t loop = std::get<hardware::LoopBegin>(ops[state.open.back()]).loop;
      if (++state.loop[loop] < group_.loops[loop].count) {
        state.at = state.open.back();
      } else {
        state.open.pop_back();
      }
    }
    ++state.at;
    return true;
  }

  static void skip_loop(State& state, const std::vector<hardware::Op>& ops) {
    int depth = 0;
    do {
      depth += std::holds_alternative<hardware::LoopBegin>(ops[state.at]);
      depth -= std::holds_alternative<hardware::LoopEnd>(ops[state.at]);
      ++state.at;
    } while (depth > 0);
    --state.at;
  }

  bool allow(State&, const hardware::AcquireStage& op) {
    if (acquired_[op.pipe] - freed(op.pipe) >= class_.pipes[op.pipe].stages) return false;
    ++acquired_[op.pipe];
    return true;
  }
  bool allow(State&, const hardware::CommitStage& op) { return ++committed_[op.pipe] <= acquired_[op.pipe]; }
  bool allow(State& state, const hardware::WaitStage& op) {
    if (state.waited[op.pipe] >= committed_[op.pipe]) return false;
    ++state.waited[op.pipe];
    return true;
  }
  bool allow(State& state, const hardware::ReleaseStage& op) {
    return ++state.released[op.pipe] <= state.waited[op.pipe];  // releasing what was not waited for is a fault
  }
  bool allow(State& state, const hardware::CtaBarrier& op) {
    if (!state.at_barrier) {
      state.at_barrier = true;
      ++state.arrived[op.id];
      ++arrivals_[op.id];
    }
    if (arrivals_[op.id] < state.arrived[op.id] * static_cast<std::uint64_t>(participants_[op.id])) return false;
    state.at_barrier = false;
    return true;
  }
  template <class Other>
  bool allow(State&, const Other&) {
    return true;
  }

  const hardware::CtaClass& class_;
  const hardware::CtaGroup& group_;
  int items_;
  std::vector<State> states_;
  std::vector<std::uint64_t> acquired_, committed_;
  std::map<std::uint8_t, int> participants_;
  std::map<std::uint8_t, std::uint64_t> arrivals_;
};

}  // namespace lightcone::testing
