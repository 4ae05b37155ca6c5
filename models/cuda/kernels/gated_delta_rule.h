// SPDX-License-Identifier: Apache-2.0
// Gated DeltaNet (Yang, Kautz and Hatamizadeh 2024, eq. 10) by chunks of 64 tokens on the tensor cores: per chunk the
// inverse of a unit lower triangular matrix, the WY representation from it, then as linear attention with the values
// corrected by the state. One CTA walks over the chunks of a head and of 64 value columns; the inverse is computed anew
// for every slice.
#pragma once

#include "models/cuda/kernels/chunk_tiles.h"

namespace lightcone::models::cuda {

constexpr int kInverseBlock = 16, kInverseStride = kChunk + 1;

// (I + A)^-1 in place of a strictly lower triangular A[64, 65] in shared memory with its transpose above the diagonal:
// the blocks of 16 on the diagonal by substitution, a thread per column; then the diagonals below, T_ij = -T_ii sum_m
// A_im T_mj. `work`: 3 blocks of 16 x 16.
template <class Block>
LIGHTCONE_DEVICE void invert_unit_lower(Block& block, float* a, float* work) {
  constexpr int n = kInverseBlock, kBlocks = kChunk / n;
  const int thread = block.thread();
  float column[n];
  const int b = thread / n * n, c = thread % n;  // of threads 0 .. 63
  if (thread < kChunk) {
    LIGHTCONE_UNROLL for (int i = 0; i < n; ++i) {
      float sum = i == c ? 1.0F : 0.0F;
      LIGHTCONE_UNROLL for (int m = 0; m < i; ++m) sum -= a[(b + i) * kInverseStride + b + m] * column[m];
      column[i] = i < c ? 0.0F : sum;
    }
  }
  block.sync();
  if (thread < kChunk) {
    LIGHTCONE_UNROLL for (int i = 0; i < n; ++i) a[(b + i) * kInverseStride + b + c] = column[i];
  }
  block.sync();
  for (int distance = 1; distance < kBlocks; ++distance) {
    // Blocks (i, j = i - distance). The lower triangle turns from A into T; A_im is read from the upper one, where its
    // transpose is.
    for (int e = thread; e < (kBlocks - distance) * n * n; e += kChunkThreads) {
      const int i = e / (n * n) + distance, j = i - distance, row = e / n % n, col = e % n;
      float sum = 0;
      for (int m = j * n; m < i * n; ++m) {
        sum += a[m * kInverseStride + i * n + row] * a[m * kInverseStride + j * n + col];
      }
      work[e] = sum;
    }
    block.sync();
    for (int e = thread; e < (kBlocks - distance) * n * n; e += kChunkThreads) {
      const int i = e / (n * n) + distance, j = i - distance, row = e / n % n, col = e % n;
      float sum = 0;
      for (int m = 0; m <= row; ++m) {
        sum += a[(i * n + row) * kInverseStride + i * n + m] * work[e / (n * n) * n * n + m * n + col];
      }
      a[(i * n + row) * kInverseStride + j * n + col] = -sum;
    }
    block.sync();
  }
}

struct GatedDeltaParams {
  const Bf16 *q, *k;              // [batch, tokens, k_heads, keys]
  const Bf16* v;                  // [batch, tokens, heads, values]
  const float *log_decay, *beta;  // [batch, tokens, heads]
  Bf16* o;                        // as v
  float* state;                   // [batch, heads, keys, values], after the last token
  int tokens, heads, k_heads, values;
};

template <int kKeys>
struct GatedDeltaChunks {
  using Params = GatedDeltaParams;
  static constexpr int kThreads = kChunkThreads;
  static constexpr int kKeyStride = kKeys + kPad, kSliceStride = kSlice + kPad;
  struct Shared {
    Bf16 q[kChunk * kKeyStride], k[kChunk * kKeyStride];
    Bf16 w[kChunk * kKeyStride];  // keys to be multiplied with the inverse, then W
    Bf16 v[kChunk * kSliceStride], p[kChunk * kSliceStride];
    Bf16 state[kKeys * kSliceStride];
    float a[kChunk * kInverseStride];
    float work[3 * kInverseBlock * kInverseBlock];
    float g[kChunk], sum[kChunk], beta[kChunk];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int head = block.y() % p.heads, batch = block.y() / p.heads, column0 = block.x() * kSlice;
    const int k_head = head / (p.heads / p.k_heads), m = block.warp() * 16, thread = block.thread();
    const std::int64_t key_stride = static_cast<std::int64_t>(p.k_heads) * kKeys,
                       value_stride = static_cast<std::int64_t>(p.heads) * p.values;
    ChunkState<kKeys> state;
    state.clear();
    for (int first = 0; first < p.tokens; first += kChunk) {
      const int valid = smaller(kChunk, p.tokens - first);
      const std::int64_t token = static_cast<std::int64_t>(batch) * p.tokens + first;
      // 1. Tiles; beyond the last token zeros without decay, which change nothing.
      load_rows<kKeys>(block, s.q, p.q + token * key_stride + k_head * kKeys, key_stride, valid);
      load_rows<kKeys>(block, s.k, p.k + token * key_stride + k_head * kKeys, key_stride, valid);
      load_rows<kSlice>(block, s.v, p.v + token * value_stride + head * p.values + column0, value_stride, valid);
      block.commit();
      if (thread < kChunk) {
        s.g[thread] = thread < valid ? p.log_decay[(token + thread) * p.heads + head] : 0.0F;
        s.beta[thread] = thread < valid ? p.beta[(token + thread) * p.heads + head] : 0.0F;
      }
      state.for_each(block,
                     [&](float value, int key, int column) { s.state[key * kSliceStride + column] = to_bf16(value); });
      block.template wait<0>();
      block.sync();
      running_sums(block, s.g, s.sum);
      scale_rows<kKeys>(block, s.w, s.k, [&](int row) { return s.beta[row]; });
      block.sync();
      const float total = s.sum[kChunk - 1];
      // 2. A = strictly lower part of (beta K) K^T with decays, and its transpose above the diagonal.
      Rows16<kChunk> scores;
      scores.clear();
      multiply<Depth::along_rows, Depth::along_rows, kKeys, kChunk>(block, scores, s.w, kKeyStride, m, s.k, kKeyStride);
      scores.for_each(block.lane(), [&](float value, int row, int column) {
        const int i = m + row;
        if (column > i) return;
        const float decayed = column < i ? value * expf(s.sum[i] - s.sum[column]) : 0.0F;
        s.a[i * kInverseStride + column] = decayed;
        s.a[column * kInverseStride + i] = decayed;
      });
      block.sync();
      // 3. T = (I + A)^-1, rounded into P; the operands of W = T (beta K e^b) and U = T (beta V).
      invert_unit_lower(block, s.a, s.work);
      for (int i = thread; i < kChunk * kChunk; i += kThreads) {
        const int row = i / kChunk, column = i % kChunk;
        s.p[row * kSliceStride + column] = to_bf16(column <= row ? s.a[row * kInverseStride + column] : 0.0F);
      }
      scale_rows<kKeys>(block, s.w, s.k, [&](int row) { return s.beta[row] * expf(s.sum[row]); });
      scale_rows<kSlice>(block, s.v, s.v, [&](int row) { return s.beta[row]; });
      block.sync();
      Rows16<kKeys> w;
      w.clear();
      multiply<Depth::along_rows, Depth::across_rows, kChunk, kKeys>(block, w, s.p, kSliceStride, m, s.w, kKeyStride);
      Rows16<kSlice> u;
      u.clear();
      multiply<Depth::along_rows, Depth::across_rows, kChunk, kSlice>(block, u, s.p, kSliceStride, m, s.v,
                                                                      kSliceStride);
      block.sync();
      // 4. V' = U - W S: the state's part of the values, with the sign in W.
      w.for_each(block.lane(),
                 [&](float value, int row, int column) { s.w[(m + row) * kKeyStride + column] = to_bf16(-value); });
      block.sync_warp();  // a warp reads back only the rows that it wrote
      multiply<Depth::along_rows, Depth::across_rows, kKeys, kSlice>(block, u, s.w, kKeyStride, m, s.state,
                                                                     kSliceStride);
      u.for_each(block.lane(),
                 [&](float value, int row, int column) { s.v[(m + row) * kSliceStride + column] = to_bf16(value); });
      // 5. O = e^b Q S + P V' with P = Q K^T, masked and decayed.
      decayed_scores<kKeys>(block, s.p, s.q, s.k, s.sum, m);
      Rows16<kSlice> o;
      o.clear();
      multiply<Depth::along_rows, Depth::across_rows, kKeys, kSlice>(block, o, s.q, kKeyStride, m, s.state,
                                                                     kSliceStride);
      o.for_each(block.lane(), [&](float& value, int row, int) { value *= expf(s.sum[m + row]); });
      block.sync();  // V' of all warps; and nobody reads K as it was any more
      multiply<Depth::along_rows, Depth::across_rows, kChunk, kSlice>(block, o, s.p, kSliceStride, m, s.v,
                                                                      kSliceStride);
      store_rows(block, o, p.o + token * value_stride + head * p.values + column0, value_stride, valid, m);
      // 6. S = e^total S + (K e^(total - b))^T V'.
      state.next(block, s.k, s.v, s.sum, total);
    }
    state.store(block, p.state + static_cast<std::int64_t>(block.y()) * kKeys * p.values, p.values, column0);
  }
};

// q, k [batch, tokens, k_heads, keys] (q scaled, k of unit length), v [batch, tokens, heads, values], log decay and
// beta [batch, tokens, heads] -> o as v, state [batch, heads, keys, values].
template <class Run>
void gated_delta_rule(Run& run, const Arguments& args) {
  const GatedDeltaParams p{args.input<Bf16>(0),  args.input<Bf16>(1),  args.input<Bf16>(2),   args.input<float>(3),
                           args.input<float>(4), args.output<Bf16>(0), args.output<float>(1), args.size("tokens"),
                           args.size("heads"),   args.size("k_heads"), args.size("values")};
  if (p.values % kSlice != 0) throw std::invalid_argument("gated delta rule: values per head in multiples of 64");
  const Grid grid{p.values / kSlice, args.size("batch") * p.heads};
  if (args.size("keys") == 64) return run.template launch<GatedDeltaChunks<64>>(grid, p);
  if (args.size("keys") == 128) return run.template launch<GatedDeltaChunks<128>>(grid, p);
  throw std::invalid_argument("gated delta rule: 64 or 128 keys per head");
}

}  // namespace lightcone::models::cuda
