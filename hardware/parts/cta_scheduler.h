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
  double cycles = 0;  // since the slot's previous item (or its start)
  engine::Cycle finished = 0;
};

struct Extrapolation {
  double end_cycle = 0;           // when the last item of the whole grid would finish
  double idle_slot_cycles = 0;    // slots without work between the last simulated cycle and the end
  double simulated_fraction = 1;  // of the work, weighted by the items' lengths
};

class CtaScheduler {
 public:
  // `slots`: CTAs that the GPU holds at once.
  CtaScheduler(const TileProgram& program, std::uint32_t slots, bool sample, double tolerance);

  [[nodiscard]] std::optional<WorkItem> next();
  void started(std::uint32_t slot, engine::Cycle now);
  void finished(std::uint32_t slot, const WorkItem& item, engine::Cycle now);
  [[nodiscard]] std::uint64_t remaining() const { return total_ - handed_out_; }
  [[nodiscard]] std::uint64_t completed() const { return records_.size(); }
  [[nodiscard]] std::uint64_t total() const { return total_; }

  // True once successive rounds of items agree within the tolerance and enough of the grid is left to be worth it.
  [[nodiscard]] bool steady() const { return steady_; }
  [[nodiscard]] Extrapolation extrapolate(engine::Cycle now) const;

 private:
  // Length of an item in iterations of its loops: what its time grows with.
  [[nodiscard]] double length(std::uint32_t group) const;
  void judge();

  struct CostModel {
    double fixed = 0, per_iteration = 0;
  };
  // Least squares over the records from `first` on: cycles = fixed + per_iteration * length.
  [[nodiscard]] CostModel fit(std::size_t first) const;

  const TileProgram& program_;
  std::uint32_t slots_;
  bool sample_;
  double tolerance_;
  std::uint64_t total_ = 0;
  std::uint64_t handed_out_ = 0;
  std::uint32_t group_ = 0;
  std::uint64_t in_group_ = 0;
  std::vector<engine::Cycle> slot_since_;
  std::vector<ItemRecord> records_;
  std::size_t next_judgement_ = 0;
  bool steady_ = false;
};

}  // namespace lightcone::hardware
