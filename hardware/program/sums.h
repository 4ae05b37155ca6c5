// SPDX-License-Identifier: Apache-2.0
// Sums of clipped bytes and useful FLOPs over whole ranges of CTA coordinates and loop counters, in closed form: along
// each variable only tiles at the border are clipped, so a sum is full tiles times their size plus a short arithmetic
// series. A grid of a million CTAs costs as much as a grid of one.
#pragma once

#include <array>
#include <cstdint>

#include "hardware/program/tile_program.h"

namespace lightcone::hardware {

// The values each variable runs through, indexed by Var. Var::none has the single value 0; a loop counter outside its
// loop the single value it holds there.
using VarRanges = std::array<LoopRange, kVarCount>;

// Ranges of a group's CTA coordinates, no loop entered yet.
VarRanges cta_ranges(const CtaGroup& group);

// Calls visit(op, ranges) for every operation of the role that is not a loop bracket, once, with the values that the
// variables run through over all CTAs of the group. Loops must be balanced.
template <class Visit>
void for_each_operation(const Role& role, const CtaGroup& group, Visit&& visit) {
  VarRanges ranges = cta_ranges(group);
  std::array<std::size_t, 2> open{};
  std::size_t depth = 0;
  for (const Op& op : role.ops) {
    if (const auto* begin = std::get_if<LoopBegin>(&op)) {
      ranges[static_cast<std::size_t>(Var::loop0) + begin->loop] = group.loops[begin->loop];
      open[depth++] = begin->loop;
    } else if (std::holds_alternative<LoopEnd>(op)) {
      const LoopRange& loop = group.loops[open[--depth]];
      ranges[static_cast<std::size_t>(Var::loop0) + open[depth]] = {loop.first + loop.count, 1};
    } else {
      visit(op, static_cast<const VarRanges&>(ranges));
    }
  }
}

// How often an operation in this scope runs: the product of the counts.
std::uint64_t executions(const VarRanges& ranges);

// Sum over all values in `range` of the part of [v * step + first, + length) that lies below `extent`.
std::uint64_t sum_clipped(const LoopRange& range, std::uint64_t step, std::uint64_t first, std::uint64_t length,
                          std::uint64_t extent);

// Sum of clip(box).rows * clip(box).row_bytes over all ranges.
std::uint64_t total_bytes(const Box& box, const VarRanges& ranges);

// Distance in rows and bytes between the boxes of neighbouring variable values.
inline std::uint64_t row_step(const Box& box) { return box.row_step != 0 ? box.row_step : box.rows; }
inline std::uint64_t column_step(const Box& box) {
  return box.column_step_bytes != 0 ? box.column_step_bytes : box.row_bytes;
}

// Sum of useful_flops(mma) over all ranges.
std::uint64_t total_useful_flops(const Mma& mma, const VarRanges& ranges);

}  // namespace lightcone::hardware
