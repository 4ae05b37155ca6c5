// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "hardware/program/sums.h"

namespace lightcone::hardware {

namespace {

std::int64_t value_of(const VarValues& values, Var var) { return values[static_cast<std::size_t>(var)]; }

// The part of [start, start + length) inside [0, extent).
std::uint64_t clipped_length(std::uint64_t start, std::uint64_t length, std::uint64_t extent) {
  return start >= extent ? 0 : std::min(length, extent - start);
}

}  // namespace

ClippedBox clip(const Box& box, const VarValues& values) {
  const std::uint64_t row = static_cast<std::uint64_t>(value_of(values, box.row_var)) * row_step(box) + box.first_row;
  const std::uint64_t column =
      static_cast<std::uint64_t>(value_of(values, box.column_var)) * column_step(box) + box.first_column_byte;
  ClippedBox out;
  out.rows = clipped_length(row, box.rows, box.row_extent);
  out.row_bytes = clipped_length(column, box.row_bytes, box.column_extent_bytes);
  if (out.rows == 0 || out.row_bytes == 0) return {};
  std::int64_t offset = static_cast<std::int64_t>(row * box.row_pitch_bytes + column);
  for (const Term& term : box.outer) offset += value_of(values, term.var) * term.stride_bytes;
  out.offset = static_cast<std::uint64_t>(offset);
  return out;
}

VarRanges cta_ranges(const CtaGroup& group) {
  VarRanges ranges;
  ranges.fill({0, 1});
  for (std::size_t i = 0; i < 4; ++i) {
    ranges[static_cast<std::size_t>(Var::cta0) + i] = {group.origin[i], group.extent[i]};
  }
  for (std::size_t i = 0; i < 2; ++i) {
    ranges[static_cast<std::size_t>(Var::loop0) + i] = {group.loops[i].first, 1};
  }
  return ranges;
}

std::uint64_t executions(const VarRanges& ranges) {
  std::uint64_t product = 1;
  for (const LoopRange& range : ranges) product *= static_cast<std::uint64_t>(range.count);
  return product;
}

std::uint64_t sum_clipped(const LoopRange& range, std::uint64_t step, std::uint64_t first, std::uint64_t length,
                          std::uint64_t extent) {
  if (range.count <= 0) return 0;
  const auto count = static_cast<std::uint64_t>(range.count);
  const std::uint64_t start = static_cast<std::uint64_t>(range.first) * step + first;
  if (step == 0) return count * clipped_length(start, length, extent);
  // Indices [0, full) are whole, [full, some) are cut by the extent, [some, count) lie outside.
  const std::uint64_t full = start + length > extent ? 0 : std::min(count, (extent - length - start) / step + 1);
  const std::uint64_t some = start >= extent ? 0 : std::min(count, (extent - start - 1) / step + 1);
  const std::uint64_t cut = some - std::min(full, some);
  std::uint64_t sum = full * length;
  if (cut > 0) {
    const std::uint64_t largest = extent - start - full * step;
    sum += cut * largest - step * (cut * (cut - 1) / 2);
  }
  return sum;
}

std::uint64_t total_bytes(const Box& box, const VarRanges& ranges) {
  const LoopRange& rows = ranges[static_cast<std::size_t>(box.row_var)];
  const LoopRange& columns = ranges[static_cast<std::size_t>(box.column_var)];
  if (rows.count <= 0 || columns.count <= 0) return 0;
  const std::uint64_t runs = executions(ranges);
  if (box.row_var == box.column_var && box.row_var != Var::none) {
    std::uint64_t sum = 0;  // rows and columns move together: no product form, walk the one variable
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const LoopRange one{rows.first + i, 1};
      sum += sum_clipped(one, row_step(box), box.first_row, box.rows, box.row_extent) *
             sum_clipped(one, column_step(box), box.first_column_byte, box.row_bytes, box.column_extent_bytes);
    }
    return sum * (runs / static_cast<std::uint64_t>(rows.count));
  }
  const std::uint64_t row_sum = sum_clipped(rows, row_step(box), box.first_row, box.rows, box.row_extent);
  const std::uint64_t byte_sum =
      sum_clipped(columns, column_step(box), box.first_column_byte, box.row_bytes, box.column_extent_bytes);
  return row_sum * byte_sum * (runs / static_cast<std::uint64_t>(rows.count * columns.count));
}

}  // namespace lightcone::hardware
