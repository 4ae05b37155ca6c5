// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "hardware/program/sums.h"

namespace lightcone::hardware {

namespace {

// A half-open range of rows or columns of the whole problem.
struct Span {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return std::max<std::int64_t>(0, end - begin); }
};

Span span_of(std::int64_t value, std::uint64_t step, std::uint64_t first, std::uint64_t length, std::uint64_t extent) {
  const std::uint64_t begin = static_cast<std::uint64_t>(value) * step + first;
  if (begin >= extent) return {};
  return {static_cast<std::int64_t>(begin), static_cast<std::int64_t>(std::min(begin + length, extent))};
}

// Sum of clamp(q + shift, low, high) over q in [0, count).
std::int64_t sum_of_clamps(std::int64_t count, std::int64_t shift, std::int64_t low, std::int64_t high) {
  const std::int64_t at_low = std::clamp<std::int64_t>(low - shift, 0, count);
  const std::int64_t from_high = std::clamp<std::int64_t>(high - shift, 0, count);
  const std::int64_t between = from_high - at_low;
  return at_low * low + (count - from_high) * high + between * shift +
         (from_high * (from_high - 1) - at_low * (at_low - 1)) / 2;
}

// Sum of clamp(floor(row / divisor) + shift, low, high) over rows [0, rows): whole queries, then the last one's share.
std::int64_t sum_of_limits(std::int64_t rows, std::int64_t divisor, std::int64_t shift, std::int64_t low,
                           std::int64_t high) {
  const std::int64_t queries = rows / divisor;
  return divisor * sum_of_clamps(queries, shift, low, high) + (rows % divisor) * std::clamp(queries + shift, low, high);
}

// Pairs of the rectangle rows x columns that the causal (and window) mask keeps. Row r keeps the columns below
// r / divisor + diagonal + 1 and, with a window, not below that minus the window.
std::int64_t kept_pairs(const UsefulPart& part, const Span& rows, const Span& columns) {
  if (rows.size() == 0 || columns.size() == 0) return 0;
  const auto divisor = static_cast<std::int64_t>(part.row_divisor);
  const auto limits = [&](std::int64_t shift) {
    return sum_of_limits(rows.end, divisor, shift, columns.begin, columns.end) -
           sum_of_limits(rows.begin, divisor, shift, columns.begin, columns.end);
  };
  const std::int64_t below = limits(part.diagonal + 1);
  if (part.window == 0) return below - rows.size() * columns.begin;
  return below - limits(part.diagonal + 1 - static_cast<std::int64_t>(part.window));
}

// One of the three dimensions of an MMA: which variable moves it, by how much, and where it ends.
struct Dimension {
  Var var;
  std::uint64_t step, first, length, extent;

  [[nodiscard]] Span at(std::int64_t value) const { return span_of(value, step, first, length, extent); }
  [[nodiscard]] std::uint64_t sum(const LoopRange& range) const {
    return sum_clipped(range, step, first, length, extent);
  }
  // The tiles of the range lie side by side, so that together they are one span.
  [[nodiscard]] bool contiguous(const LoopRange& range) const { return range.count == 1 || step == length; }
  [[nodiscard]] Span whole(const LoopRange& range) const {
    const std::uint64_t tiles = static_cast<std::uint64_t>(range.count);
    return span_of(range.first, step, first, range.count == 1 ? length : tiles * length, extent);
  }
};

struct Dimensions {
  Dimension rows, columns, rest;  // `columns` is the one the mask looks at
};

Dimensions dimensions(const Mma& mma) {
  const UsefulPart& u = mma.useful;
  const Dimension m{u.m_var, u.m_step, u.m_first, mma.m, u.m_extent};
  const Dimension n{u.n_var, u.n_step, u.n_first, mma.n, u.n_extent};
  const Dimension k{u.k_var, u.k_step, 0, mma.k, u.k_extent};
  return u.columns_are_k ? Dimensions{m, k, n} : Dimensions{m, n, k};
}

const LoopRange& range_of(const VarRanges& ranges, Var var) { return ranges[static_cast<std::size_t>(var)]; }

// Sum of kept pairs over the values of the row and column variables.
std::uint64_t sum_pairs(const UsefulPart& part, const Dimension& rows, const Dimension& columns,
                        const VarRanges& ranges) {
  const LoopRange& r = range_of(ranges, rows.var);
  const LoopRange& c = range_of(ranges, columns.var);
  const bool one_row_span = rows.contiguous(r);
  const bool one_column_span = columns.contiguous(c);
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < (one_row_span ? 1 : r.count); ++i) {
    const Span row_span = one_row_span ? rows.whole(r) : rows.at(r.first + i);
    for (std::int64_t j = 0; j < (one_column_span ? 1 : c.count); ++j) {
      pairs += kept_pairs(part, row_span, one_column_span ? columns.whole(c) : columns.at(c.first + j));
    }
  }
  return static_cast<std::uint64_t>(pairs);
}

// The same variable moves two dimensions: no product form; walk everything. Rare, and small where it happens.
std::uint64_t walk(const Mma& mma, VarRanges ranges, std::size_t var, VarValues& values) {
  if (var == kVarCount) return useful_flops(mma, values).count();
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < ranges[var].count; ++i) {
    values[var] = ranges[var].first + i;
    sum += walk(mma, ranges, var + 1, values);
  }
  return sum;
}

}  // namespace

Flops useful_flops(const Mma& mma, const VarValues& values) {
  const auto value = [&](Var var) { return values[static_cast<std::size_t>(var)]; };
  const Dimensions d = dimensions(mma);
  if (mma.useful.pairs > 0) {
    return Flops(2 * mma.useful.pairs * static_cast<std::uint64_t>(d.rest.at(value(d.rest.var)).size()));
  }
  const Span rows = d.rows.at(value(d.rows.var));
  const Span columns = d.columns.at(value(d.columns.var));
  const std::int64_t rest = d.rest.at(value(d.rest.var)).size();
  const std::int64_t pairs =
      mma.useful.mask == MaskKind::none ? rows.size() * columns.size() : kept_pairs(mma.useful, rows, columns);
  return Flops(2 * static_cast<std::uint64_t>(pairs * rest));
}

std::uint64_t total_useful_flops(const Mma& mma, const VarRanges& ranges) {
  const Dimensions d = dimensions(mma);
  if (mma.useful.pairs > 0) {
    const LoopRange& k = range_of(ranges, d.rest.var);
    const std::uint64_t all = executions(ranges);
    return all == 0 ? 0 : 2 * mma.useful.pairs * d.rest.sum(k) * (all / static_cast<std::uint64_t>(k.count));
  }
  const auto clash = [](Var a, Var b) { return a == b && a != Var::none; };
  const std::uint64_t runs = executions(ranges);
  if (runs == 0) return 0;
  if (clash(d.rows.var, d.columns.var) || clash(d.rows.var, d.rest.var) || clash(d.columns.var, d.rest.var)) {
    VarValues values{};
    return walk(mma, ranges, 1, values);
  }
  const LoopRange& r = range_of(ranges, d.rows.var);
  const LoopRange& c = range_of(ranges, d.columns.var);
  const LoopRange& k = range_of(ranges, d.rest.var);
  const std::uint64_t others = runs / static_cast<std::uint64_t>(r.count * c.count * k.count);
  const std::uint64_t pairs = mma.useful.mask == MaskKind::none ? d.rows.sum(r) * d.columns.sum(c)
                                                                : sum_pairs(mma.useful, d.rows, d.columns, ranges);
  return 2 * pairs * d.rest.sum(k) * others;
}

}  // namespace lightcone::hardware
