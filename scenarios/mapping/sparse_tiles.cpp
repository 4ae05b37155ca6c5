// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/sparse_tiles.h"

#include <algorithm>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

using models::KeySpan;
using models::SeenKeys;
using models::SparseAttention;

namespace {

// What one tile of queries sees.
struct Tile {
  std::uint64_t blocks = 0;
  std::uint64_t begin = 0, end = 0;  // first key of its one range; end of the keys that exist for the last query
  bool apart = false;                // some of the blocks lie apart from the ranges
  std::vector<std::uint64_t> pairs, rows;
};

// The ranges of a tile's queries together. Ranges move by one key or one block from query to query, so that the first
// and the last query say what lies between, unless two ranges met on the way.
std::vector<KeySpan> joined(const SparseAttention& op, std::uint64_t first, std::uint64_t last) {
  std::vector<KeySpan> all;
  const auto add = [&](const SeenKeys& seen) {
    all.insert(all.end(), seen.spans.begin(), seen.spans.begin() + seen.count);
  };
  const SeenKeys a = seen_keys(op, first), b = seen_keys(op, last);
  if (a.count == b.count) {
    for (std::size_t i = 0; i < a.count; ++i) {
      all.push_back({std::min(a.spans[i].begin, b.spans[i].begin), std::max(a.spans[i].end, b.spans[i].end)});
    }
  } else {
    for (std::uint64_t q = first; q <= last; ++q) add(seen_keys(op, q));
  }
  std::sort(all.begin(), all.end(), [](const KeySpan& x, const KeySpan& y) { return x.begin < y.begin; });
  std::vector<KeySpan> merged;
  for (const KeySpan& span : all) {
    if (merged.empty() || span.begin > merged.back().end) {
      merged.push_back(span);
    } else {
      merged.back().end = std::max(merged.back().end, span.end);
    }
  }
  return merged;
}

Tile tile_at(const SparseAttention& op, const TileRows& shape, std::uint64_t index) {
  const std::uint64_t all_rows = op.q_len * shape.heads, first_row = index * shape.rows;
  const std::uint64_t end_row = std::min(first_row + shape.rows, all_rows), per_share = shape.rows / shape.shares;
  const std::uint64_t first = first_row / shape.heads, last = (end_row - 1) / shape.heads;
  Tile tile;
  tile.pairs.assign(shape.shares, 0);
  tile.rows.assign(shape.shares, 0);
  std::uint64_t summary = 0, chosen = 0;
  for (std::uint64_t q = first; q <= last; ++q) {
    const SeenKeys seen = seen_keys(op, q);
    summary = std::max(summary, seen.summary);
    chosen = std::max(chosen, seen.chosen);
    for (std::uint64_t row = std::max(first_row, q * shape.heads); row < std::min(end_row, (q + 1) * shape.heads);
         ++row) {
      const std::uint64_t share = (row - first_row) / per_share;
      tile.pairs[share] += seen.total();
      ++tile.rows[share];
    }
  }
  const std::vector<KeySpan> spans = joined(op, first, last);
  for (const KeySpan& span : spans) tile.blocks += ceil_div(span.end - span.begin, shape.columns);
  const std::uint64_t others = ceil_div(summary, shape.columns) + ceil_div(chosen, shape.columns);
  tile.apart = others > 0 || spans.size() > 1;
  tile.blocks = std::max<std::uint64_t>(1, tile.blocks + others);
  // Blocks of one range end with it, so that none of them reaches beyond the keys.
  const std::uint64_t range_end = spans.empty() ? 0 : spans.back().end, covered = tile.blocks * shape.columns;
  tile.begin = range_end > covered ? range_end - covered : 0;
  tile.end = std::max<std::uint64_t>(1, keys_before(op, last));
  return tile;
}

// Where the blocks of a run lie.
void place(const SparseAttention& op, const TileRows& shape, const Tile& first, const Tile& last, TileRun& run) {
  const std::uint64_t steps = run.tiles - 1;
  run.spacing = shape.columns;
  if (!first.apart) {
    run.first_key = first.begin;
    run.drift = steps > 0 ? (last.begin - first.begin) / steps : 0;
  } else if (first.end > run.blocks * shape.columns) {
    run.spacing = first.end / run.blocks;
    const std::uint64_t room = (op.causal ? last.end - first.end : 0) + run.spacing - shape.columns;
    run.drift = steps > 0 ? room / steps : 0;
  }
}

}  // namespace

std::vector<TileRun> tile_runs(const SparseAttention& op, const TileRows& shape) {
  const std::uint64_t tiles = ceil_div(op.q_len * shape.heads, shape.rows);
  std::vector<TileRun> runs;
  Tile first, before;
  for (std::uint64_t t = 0; t < tiles; ++t) {
    const Tile tile = tile_at(op, shape, t);
    // Ranges move by equal steps within a run; blocks that lie apart are spread anew when the keys have doubled.
    const bool joins = !runs.empty() && tile.blocks == runs.back().blocks && tile.apart == first.apart &&
                       tile.rows == first.rows && (tile.apart ? tile.end < 2 * first.end : true) &&
                       (tile.apart || runs.back().tiles == 1 ||
                        (tile.begin - before.begin) * (runs.back().tiles - 1) == before.begin - first.begin);
    if (!joins) {
      if (!runs.empty()) place(op, shape, first, before, runs.back());
      first = tile;
      runs.push_back({t, 0, tile.blocks, 0, 0, 0, std::vector<std::uint64_t>(shape.shares, 0), tile.rows});
    }
    ++runs.back().tiles;
    for (std::size_t s = 0; s < shape.shares; ++s) runs.back().pairs[s] += tile.pairs[s];
    before = tile;
  }
  place(op, shape, first, before, runs.back());
  return runs;
}

}  // namespace lightcone::scenarios
