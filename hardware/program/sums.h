// SPDX-License-Identifier: Apache-2.0
// Sums of clipped bytes and useful FLOPs over whole ranges of CTA coordinates and loop counters, in closed form: along
// each variable only tiles at the border are clipped, so a sum is full tiles times their size plus a short arithmetic
// series. A grid of a million CTAs costs as much as a grid of one.
#pragma once

#include <array>
#include <cstdint>

#include "hardware/program/tile_program.h"

namespace lightcone::hardware {

// The values each variable runs through, indexed by Var. A variable that is not in scope has the single value 0.
using VarRanges = std::array<LoopRange, kVarCount>;

// Ranges of a group's CTA coordinates, no loop entered.
VarRanges cta_ranges(const CtaGroup& group);

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
