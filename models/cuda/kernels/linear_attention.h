// SPDX-License-Identifier: Apache-2.0
// Linear attention with one decay per token and head by chunks of 64 tokens on the tensor cores (RetNet eq. 7,
// Lightning Attention), and with it Mamba-2's chunk scan, where the keys and queries of a group are B and C, the values
// dt x and the decays dt A. One CTA walks over the chunks of a head and of 64 value columns, its state in registers.
// Published kernels run the chunks in parallel and pass the states on in a kernel of its own; here heads and slices are
// what is parallel.
#pragma once

#include "models/cuda/kernels/chunk_tiles.h"

namespace lightcone::models::cuda {

struct LinearAttentionParams {
  const Bf16 *q, *k;       // [batch, tokens, groups, keys]
  const Bf16* v;           // [batch, tokens, heads, values]
  const float* log_decay;  // [batch, tokens, heads]; with `rate`: the steps dt
  const float* rate;       // null, or [heads]: the log decay is dt rate, and the values are scaled by dt
  Bf16* o;                 // as v
  float* state;            // [batch, heads, keys, values], after the last token
  int tokens, heads, groups, values;
};

template <int kKeys>
struct LinearAttentionChunks {
  using Params = LinearAttentionParams;
  static constexpr int kThreads = kChunkThreads;
  static constexpr int kKeyStride = kKeys + kPad, kSliceStride = kSlice + kPad;
  struct Shared {
    Bf16 q[kChunk * kKeyStride], k[kChunk * kKeyStride];
    Bf16 v[kChunk * kSliceStride], p[kChunk * kSliceStride];
    Bf16 state[kKeys * kSliceStride];
    float g[kChunk], sum[kChunk];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int head = block.y() % p.heads, batch = block.y() / p.heads, column0 = block.x() * kSlice;
    const int group = head / (p.heads / p.groups), m = block.warp() * 16, thread = block.thread();
    const std::int64_t key_stride = static_cast<std::int64_t>(p.groups) * kKeys,
                       value_stride = static_cast<std::int64_t>(p.heads) * p.values;
    ChunkState<kKeys> state;
    state.clear();
    for (int first = 0; first < p.tokens; first += kChunk) {
      const int valid = smaller(kChunk, p.tokens - first);
      const std::int64_t token = static_cast<std::int64_t>(batch) * p.tokens + first;
      // 1. Tiles; beyond the last token zeros without decay, which change nothing.
      load_rows<kKeys>(block, s.q, p.q + token * key_stride + group * kKeys, key_stride, valid);
      load_rows<kKeys>(block, s.k, p.k + token * key_stride + group * kKeys, key_stride, valid);
      load_rows<kSlice>(block, s.v, p.v + token * value_stride + head * p.values + column0, value_stride, valid);
      block.commit();
      if (thread < kChunk) s.g[thread] = thread < valid ? p.log_decay[(token + thread) * p.heads + head] : 0.0F;
      state.for_each(block,
                     [&](float value, int key, int column) { s.state[key * kSliceStride + column] = to_bf16(value); });
      block.template wait<0>();
      block.sync();
      if (p.rate != nullptr) {
        scale_rows<kSlice>(block, s.v, s.v, [&](int row) { return s.g[row]; });
        block.sync();
        if (thread < kChunk) s.g[thread] *= p.rate[head];
        block.sync();
      }
      running_sums(block, s.g, s.sum);
      block.sync();
      const float total = s.sum[kChunk - 1];
      // 2. O = e^b Q S.
      Rows16<kSlice> o;
      o.clear();
      multiply<Depth::along_rows, Depth::across_rows, kKeys, kSlice>(block, o, s.q, kKeyStride, m, s.state,
                                                                     kSliceStride);
      o.for_each(block.lane(), [&](float& value, int row, int) { value *= expf(s.sum[m + row]); });
      // 3. P = Q K^T, masked and decayed; a warp reads back only the rows that it wrote.
      decayed_scores<kKeys>(block, s.p, s.q, s.k, s.sum, m);
      block.sync();  // also: nobody reads K as it was any more
      // 4. O += P V.
      multiply<Depth::along_rows, Depth::across_rows, kChunk, kSlice>(block, o, s.p, kSliceStride, m, s.v,
                                                                      kSliceStride);
      store_rows(block, o, p.o + token * value_stride + head * p.values + column0, value_stride, valid, m);
      // 5. S = e^total S + (K e^(total - b))^T V.
      state.next(block, s.k, s.v, s.sum, total);
    }
    state.store(block, p.state + static_cast<std::int64_t>(block.y()) * kKeys * p.values, p.values, column0);
  }
};

template <class Run>
void launch_linear_attention(Run& run, const LinearAttentionParams& p, int batch, int keys) {
  if (p.values % kSlice != 0) throw std::invalid_argument("linear attention: values per head in multiples of 64");
  const Grid grid{p.values / kSlice, batch * p.heads};
  if (keys == 64) return run.template launch<LinearAttentionChunks<64>>(grid, p);
  if (keys == 128) return run.template launch<LinearAttentionChunks<128>>(grid, p);
  throw std::invalid_argument("linear attention: 64 or 128 keys per head");
}

// q, k [batch, tokens, heads, keys], v [batch, tokens, heads, values], log decay [batch, tokens, heads] -> o as v,
// state [batch, heads, keys, values].
template <class Run>
void linear_attention(Run& run, const Arguments& args) {
  const int heads = args.size("heads");
  launch_linear_attention(
      run,
      {args.input<Bf16>(0), args.input<Bf16>(1), args.input<Bf16>(2), args.input<float>(3), nullptr,
       args.output<Bf16>(0), args.output<float>(1), args.size("tokens"), heads, heads, args.size("values")},
      args.size("batch"), args.size("keys"));
}

// Mamba-2: c, b [batch, tokens, groups, states], x [batch, tokens, heads, values], dt [batch, tokens, heads], a [heads]
// -> y as x, state [batch, heads, states, values].
template <class Run>
void ssd_chunk_scan(Run& run, const Arguments& args) {
  launch_linear_attention(run,
                          {args.input<Bf16>(0), args.input<Bf16>(1), args.input<Bf16>(2), args.input<float>(3),
                           args.input<float>(4), args.output<Bf16>(0), args.output<float>(1), args.size("tokens"),
                           args.size("heads"), args.size("groups"), args.size("values")},
                          args.size("batch"), args.size("keys"));
}

}  // namespace lightcone::models::cuda
