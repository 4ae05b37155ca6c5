// SPDX-License-Identifier: Apache-2.0
// The query tiles of sparse attention: how many blocks of keys each goes through, where they lie, and how many pairs of
// them count. Tiles that differ in place only form a run.
#pragma once

#include <cstdint>
#include <vector>

#include "models/graph/operator.h"

namespace lightcone::scenarios {

// How queries form tiles.
struct TileRows {
  std::uint64_t rows = 128;     // query rows of a tile that count
  std::uint64_t shares = 1;     // parts of the rows that work apart
  std::uint64_t heads = 1;      // query heads that lie side by side in the rows (row = query * heads + head)
  std::uint64_t columns = 128;  // keys of a block
};

// Consecutive tiles that go through equally many blocks. Block b of tile t begins at key first_key + b * spacing +
// (t - first) * drift.
struct TileRun {
  std::uint64_t first = 0, tiles = 0;
  std::uint64_t blocks = 1;
  std::uint64_t first_key = 0, spacing = 0, drift = 0;
  std::vector<std::uint64_t> pairs;  // of each share, summed over the tiles
  std::vector<std::uint64_t> rows;   // of each share of one tile, those that exist
};

std::vector<TileRun> tile_runs(const models::SparseAttention& op, const TileRows& shape);

}  // namespace lightcone::scenarios
