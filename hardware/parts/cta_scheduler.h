// SPDX-License-Identifier: Apache-2.0
// The CTA scheduler: hands the work items of a program (CTAs, or output tiles of a persistent kernel) to the SMs in
// launch order, breadth first, and remembers how long each took. From these times it decides when the kernel has
// reached its steady state; the rest of the grid is then played as a list schedule with the times seen (`extrapolate`).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hardware/program/tile_program.h"
#include "sim/engine/cycle.h"

namespace lightcone::hardware {

// One CTA of the grid.
struct WorkItem {
  std::uint32_t group = 0;
  std::array<std::int64_t, 4> coordinates{};
  std::uint64_t index = 0;  // in launch order
};

// A finished item: where, which group, and from when to when its slot worked on it.
struct ItemRecord {
  std::uint32_t slot = 0;  // global: sm * resident + slot of the SM
  std::uint32_t group = 0;
  double cycles = 0;  // since the slot's previous item (or its start), left-out iterations included
  double period = 0;  // per loop iteration, 0: not known
  engine::Cycle finished = 0;
};

struct Extrapolation {
  double end_cycle = 0;           // when the last item of the whole grid would finish
  double idle_slot_cycles = 0;    // slots without work between the last simulated cycle and the end
  double simulated_fraction = 1;  // of the work, weighted by the items' lengths
};

class CtaScheduler {
 public:
  // `slots`: CTAs that the GPU holds at once. `least_window`: cycles that a round must span to be judged; short items
  // end and start within one trip to memory, and a few such rounds say nothing about the memory's queues.
  CtaScheduler(const TileProgram& program, std::uint32_t slots, bool sample, double tolerance, double least_window);

  [[nodiscard]] std::optional<WorkItem> next();
  void started(std::uint32_t slot, engine::Cycle now);
  // `period`: cycles per loop iteration, 0 when not known. It prices the iterations that the item left out.
  void finished(std::uint32_t slot, const WorkItem& item, engine::Cycle now, double period);

  // Long loops reach a steady state inside one CTA: after kLoopHead iterations this many are left out, in every role
  // alike, and their time is taken from the second half of the head. 0: the loops of this group are played in full.
  static constexpr std::int64_t kLoopHead = 56, kLoopTail = 8, kLeastSkip = 32, kManyRounds = 6;
  // `first` item of a slot: in a grid of many rounds the slots drift apart until their phases are spread over the whole
  // loop; their first items are shortened by different amounts, so that this state is there after one round.
  [[nodiscard]] std::int64_t skipped_iterations(std::uint32_t group, std::uint32_t slot, bool first) const;
  // Of all loop iterations of the grid, the share that is played.
  [[nodiscard]] double played_share() const { return played_share_; }
  [[nodiscard]] std::uint64_t remaining() const { return total_ - handed_out_; }
  [[nodiscard]] std::uint64_t completed() const { return records_.size(); }
  [[nodiscard]] std::uint32_t slots() const { return slots_; }
  [[nodiscard]] std::uint64_t total() const { return total_; }

  // Whether the time of the last simulated cycle is not the whole story.
  [[nodiscard]] bool needs_extrapolation() const { return staggered_ || played_share_ < 1 || completed() < total(); }
  // True once successive rounds of items agree within the tolerance and enough of the grid is left to be worth it.
  [[nodiscard]] bool steady() const { return steady_; }
  [[nodiscard]] Extrapolation extrapolate(engine::Cycle now) const;

 private:
  // Length of an item in iterations of its loops: what its time grows with.
  [[nodiscard]] double length(std::uint32_t group) const;
  void judge();
  void plan_skips();
  [[nodiscard]] bool uneven() const;  // items of different lengths

  struct CostModel {
    double fixed = 0, per_iteration = 0;
  };
  // Over the records from `first` on: cycles = fixed + per_iteration * length. The slope is the period seen inside the
  // loops; without one, that of least squares.
  [[nodiscard]] CostModel fit(std::size_t first) const;

  const TileProgram& program_;
  std::uint32_t slots_;
  bool sample_;
  double tolerance_;
  double least_window_;
  std::size_t window_ = 0;  // items that were compared last
  std::uint64_t total_ = 0;
  std::uint64_t handed_out_ = 0;
  std::uint32_t group_ = 0;
  std::uint64_t in_group_ = 0;
  std::vector<std::uint8_t> flat_;   // per class: its loops have one level
  std::vector<std::int64_t> skip_;   // per group
  std::vector<std::int64_t> spare_;  // per group: iterations beyond the head that are still played
  double played_share_ = 1;
  bool staggered_ = false;
  std::vector<std::uint8_t> slot_used_;
  std::vector<engine::Cycle> slot_first_;  // when its first item was launched
  std::vector<engine::Cycle> slot_since_;  // when its latest item ended
  std::vector<double> slot_skipped_;       // cycles that the slot's finished items left out
  std::vector<ItemRecord> records_;
  std::size_t next_judgement_ = 0;
  bool steady_ = false;
};

}  // namespace lightcone::hardware
