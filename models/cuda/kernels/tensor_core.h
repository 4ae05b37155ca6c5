// SPDX-License-Identifier: Apache-2.0
// Fragments of mma.m16n8k16 from tiles in shared memory, in each of the four storage orders. A leading dimension whose
// rows are 16 bytes apart modulo 128 (a multiple of 64 elements plus 8, or 32 plus 8) is free of bank conflicts.
#pragma once

#include "models/cuda/kernels/number.h"

namespace lightcone::models::cuda {

constexpr int kPad = 8;  // elements of bf16 between the rows of a tile

// How an operand lies in shared memory: with its depth (k) along the rows, or across them.
enum class Depth { along_rows, across_rows };

// A[16, 16] at row `m`, depth `k`. along_rows: tile[m][k]; across_rows: tile[k][m].
template <Depth kDepth, class Block>
LIGHTCONE_DEVICE void load_a(Block& block, std::uint32_t (&r)[4], const Bf16* tile, int stride, int m, int k) {
  const int row = block.lane() % 8, matrix = block.lane() / 8;
  if constexpr (kDepth == Depth::along_rows) {
    block.load_matrices(r, tile + (m + row + matrix % 2 * 8) * stride + k + matrix / 2 * 8);
  } else {
    block.load_matrices_transposed(r, tile + (k + row + matrix / 2 * 8) * stride + m + matrix % 2 * 8);
  }
}

// B[16, 16] at depth `k`, column `n`: registers 0, 1 for the first 8 columns, 2, 3 for the next. along_rows:
// tile[n][k]; across_rows: tile[k][n].
template <Depth kDepth, class Block>
LIGHTCONE_DEVICE void load_b(Block& block, std::uint32_t (&r)[4], const Bf16* tile, int stride, int k, int n) {
  const int row = block.lane() % 8, matrix = block.lane() / 8;
  if constexpr (kDepth == Depth::along_rows) {
    block.load_matrices(r, tile + (n + row + matrix / 2 * 8) * stride + k + matrix % 2 * 8);
  } else {
    block.load_matrices_transposed(r, tile + (k + row + matrix % 2 * 8) * stride + n + matrix / 2 * 8);
  }
}

// Row and column of element e (0 .. 3) of an accumulator of 16 x 8.
LIGHTCONE_DEVICE int accumulator_row(int lane, int e) { return lane / 4 + e / 2 * 8; }
LIGHTCONE_DEVICE int accumulator_column(int lane, int e) { return lane % 4 * 2 + e % 2; }

// An accumulator of 16 rows and kColumns columns of one warp.
template <int kColumns>
struct Rows16 {
  float at[kColumns / 8][4];

  LIGHTCONE_DEVICE void clear() {
    LIGHTCONE_UNROLL for (int n = 0; n < kColumns / 8; ++n) {
      LIGHTCONE_UNROLL for (int e = 0; e < 4; ++e) at[n][e] = 0;
    }
  }
  // each(value, row within the 16, column).
  template <class Each>
  LIGHTCONE_DEVICE void for_each(int lane, const Each& each) {
    LIGHTCONE_UNROLL for (int n = 0; n < kColumns / 8; ++n) {
      LIGHTCONE_UNROLL for (int e = 0; e < 4; ++e)
          each(at[n][e], accumulator_row(lane, e), n * 8 + accumulator_column(lane, e));
    }
  }
};

// sum += A[16 rows from m, kK] B[kK, kN], both in shared memory.
template <Depth kA, Depth kB, int kK, int kN, class Block>
LIGHTCONE_DEVICE void multiply(Block& block, Rows16<kN>& sum, const Bf16* a, int a_stride, int m, const Bf16* b,
                               int b_stride) {
  LIGHTCONE_UNROLL for (int k = 0; k < kK; k += 16) {
    std::uint32_t fragment_a[4];
    load_a<kA>(block, fragment_a, a, a_stride, m, k);
    LIGHTCONE_UNROLL for (int n = 0; n < kN; n += 16) {
      std::uint32_t fragment_b[4];
      load_b<kB>(block, fragment_b, b, b_stride, k, n);
      block.mma(sum.at[n / 8], fragment_a, fragment_b[0], fragment_b[1]);
      block.mma(sum.at[n / 8 + 1], fragment_a, fragment_b[2], fragment_b[3]);
    }
  }
}

}  // namespace lightcone::models::cuda
