// SPDX-License-Identifier: Apache-2.0
// What the chunked recurrences share: tiles of 64 tokens in shared memory, their decays, and a state of kKeys x 64 that
// four warps keep in registers.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/tensor_core.h"

namespace lightcone::models::cuda {

constexpr int kChunk = 64, kChunkThreads = 128;
constexpr int kSlice = 64;  // columns of the values that a CTA takes

// Rows of `columns` values from global memory, `stride` apart; rows from `valid` on become zero. Arrives with
// commit/wait.
template <int kColumns, class Block>
LIGHTCONE_DEVICE void load_rows(Block& block, Bf16* tile, const Bf16* from, std::int64_t stride, int valid) {
  constexpr int kChunks = kColumns / 8, kStride = kColumns + kPad;
  for (int i = block.thread(); i < kChunk * kChunks; i += kChunkThreads) {
    const int row = i / kChunks, column = i % kChunks * 8;
    block.copy_async(tile + row * kStride + column, from + (row < valid ? row : 0) * stride + column, row < valid);
  }
}

// sums[i] = g_0 + ... + g_i; each thread its own, so that all rows are summed in the same order. Between two barriers.
template <class Block>
LIGHTCONE_DEVICE void running_sums(Block& block, const float* g, float* sums) {
  if (block.thread() >= kChunk) return;
  float sum = 0;
  for (int j = 0; j <= block.thread(); ++j) sum += g[j];
  sums[block.thread()] = sum;
}

// factor(row) times every value of the tile, rounded again.
template <int kColumns, class Block, class Factor>
LIGHTCONE_DEVICE void scale_rows(Block& block, Bf16* to, const Bf16* from, const Factor& factor) {
  constexpr int kStride = kColumns + kPad;
  for (int i = block.thread(); i < kChunk * kColumns; i += kChunkThreads) {
    const int at = i / kColumns * kStride + i % kColumns;
    to[at] = to_bf16(to_float(from[at]) * factor(i / kColumns));
  }
}

// The state: warp w holds rows 16 w .. 16 w + 15 of every 64 of the keys, all columns of the slice.
template <int kKeys>
struct ChunkState {
  Rows16<kSlice> part[kKeys / 64];

  LIGHTCONE_DEVICE void clear() { LIGHTCONE_UNROLL for (int i = 0; i < kKeys / 64; ++i) part[i].clear(); }
  // each(value, key, column).
  template <class Block, class Each>
  LIGHTCONE_DEVICE void for_each(Block& block, const Each& each) {
    LIGHTCONE_UNROLL for (int i = 0; i < kKeys / 64; ++i) {
      part[i].for_each(block.lane(), [&](float& value, int row, int column) {
        each(value, i * 64 + block.warp() * 16 + row, column);
      });
    }
  }
  // += K^T V of tiles with 64 rows, K of kKeys columns.
  template <class Block>
  LIGHTCONE_DEVICE void add(Block& block, const Bf16* k, const Bf16* v) {
    LIGHTCONE_UNROLL for (int i = 0; i < kKeys / 64; ++i) {
      multiply<Depth::across_rows, Depth::across_rows, kChunk, kSlice>(block, part[i], k, kKeys + kPad,
                                                                       i * 64 + block.warp() * 16, v, kSlice + kPad);
    }
  }
  // S = e^total S + (K e^(total - b))^T V, with the running sums b of the decays; K is scaled in place. Begins and ends
  // where the whole block may read and write the tiles.
  template <class Block>
  LIGHTCONE_DEVICE void next(Block& block, Bf16* k, const Bf16* v, const float* sums, float total) {
    scale_rows<kKeys>(block, k, k, [&](int row) { return expf(total - sums[row]); });
    block.sync();
    for_each(block, [&](float& value, int, int) { value *= expf(total); });
    add(block, k, v);
    block.sync();
  }
  // To a matrix [kKeys, values], from column `column0` on.
  template <class Block>
  LIGHTCONE_DEVICE void store(Block& block, float* matrix, int values, int column0) {
    for_each(block, [&](float value, int key, int column) {
      matrix[static_cast<std::int64_t>(key) * values + column0 + column] = value;
    });
  }
};

// P = Q K^T, masked and decayed: the warp's 16 rows from `m` on, which it alone reads back.
template <int kKeys, class Block>
LIGHTCONE_DEVICE void decayed_scores(Block& block, Bf16* p, const Bf16* q, const Bf16* k, const float* sums, int m) {
  Rows16<kChunk> scores;
  scores.clear();
  multiply<Depth::along_rows, Depth::along_rows, kKeys, kChunk>(block, scores, q, kKeys + kPad, m, k, kKeys + kPad);
  scores.for_each(block.lane(), [&](float value, int row, int column) {
    const int i = m + row;
    p[i * (kSlice + kPad) + column] = to_bf16(column <= i ? value * expf(sums[i] - sums[column]) : 0.0F);
  });
}

// Rows below `valid` of the warp's 16 from `m` on, `stride` apart in `to`, which starts at the chunk's first row.
template <class Block>
LIGHTCONE_DEVICE void store_rows(Block& block, Rows16<kSlice>& rows, Bf16* to, std::int64_t stride, int valid, int m) {
  rows.for_each(block.lane(), [&](float value, int row, int column) {
    if (m + row < valid) to[(m + row) * stride + column] = to_bf16(value);
  });
}

}  // namespace lightcone::models::cuda
