// SPDX-License-Identifier: Apache-2.0
// FlashAttention-2 (Dao 2023) on the tensor cores of sm_80 and later: a CTA takes 16 rows of queries per warp and walks
// over tiles of 64 keys, two in flight, with a running maximum and sum. One kernel serves dense, causal and windowed
// attention (a row is a query of one head), block-sparse attention (a list of tiles per query tile), and decode and
// selected attention (the rows are the heads that share a KV head, so that its keys are read once per group; keys in
// splits or gathered by index). The result of a split is merged by MergeSplits.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/tensor_core.h"

namespace lightcone::models::cuda {

// q, o: [batch, q_len, heads, d]; k, v: [batch, kv_len, kv_heads, d]. Query i stands at position kv_len - q_len + i.
struct FlashParams {
  const Bf16 *q, *k, *v;
  Bf16* o;
  float *partial_o = nullptr, *partial_lse = nullptr;  // [splits, batch, q_len, heads (, d)] when there are splits
  int q_len, kv_len, heads, kv_heads;
  bool packed = false;  // rows of a CTA: the heads of one KV head, of one query
  bool causal = false;
  int window = 0;  // 0: none; else position - window < key
  float scale_log2 = 0;
  int splits = 1;
  const int *tile_offsets = nullptr, *tiles = nullptr;  // tiles of keys that query tile x visits: tiles[offsets[x] ...]
  const int* selected = nullptr;                        // [batch, q_len, kv_heads, selected_count] keys, -1: none
  int selected_count = 0;
};

template <int kDim, int kWarps>
struct FlashAttention {
  using Params = FlashParams;
  static constexpr int kThreads = 32 * kWarps, kRows = 16 * kWarps, kKeys = 64, kStride = kDim + kPad;
  struct Shared {
    Bf16 k[2][kKeys * kStride];  // k[1] holds the queries at first
    Bf16 v[2][kKeys * kStride];
  };
  static_assert(kRows <= kKeys);

  // Which queries, heads and keys a CTA works on.
  struct Work {
    int batch, kv_head, first_query;  // and the first head:
    int head;
    int key_count;          // positions to walk over: keys, or entries of `selected`
    const int* selected;    // of this query, or null
    int first_tile, tiles;  // of 64 positions each
    const int* tile_list;   // or null: consecutive ones
  };

  template <class Block>
  LIGHTCONE_DEVICE static Work work_of(Block& block, const Params& p) {
    const int group = p.heads / p.kv_heads, columns = p.packed ? p.kv_heads : p.heads;
    Work w{};
    w.batch = block.y() / columns;
    w.kv_head = p.packed ? block.y() % columns : block.y() % columns / group;
    w.head = p.packed ? w.kv_head * group : block.y() % columns;
    w.first_query = p.packed ? block.x() : block.x() * kRows;
    w.key_count = p.kv_len;
    if (p.selected != nullptr) {
      w.key_count = p.selected_count;
      w.selected =
          p.selected +
          (static_cast<std::int64_t>(w.batch * p.q_len + w.first_query) * p.kv_heads + w.kv_head) * p.selected_count;
    }
    int end = (w.key_count + kKeys - 1) / kKeys;
    if (p.tile_offsets != nullptr) {
      w.tile_list = p.tiles + p.tile_offsets[block.x()];
      end = p.tile_offsets[block.x() + 1] - p.tile_offsets[block.x()];
    } else if (w.selected == nullptr) {
      const int first_position = p.kv_len - p.q_len + w.first_query;
      const int last_query = smaller(p.packed ? w.first_query : w.first_query + kRows - 1, p.q_len - 1);
      if (p.causal) end = smaller(end, (p.kv_len - p.q_len + last_query) / kKeys + 1);
      if (p.window > 0) w.first_tile = larger(0, first_position - p.window + 1) / kKeys;
    }
    const int per_split = (end - w.first_tile + p.splits - 1) / p.splits;
    w.first_tile += block.z() * per_split;
    w.tiles = larger(0, smaller(per_split, end - w.first_tile));
    return w;
  }

  // Query and head of a row; false beyond the last.
  LIGHTCONE_DEVICE static bool locate(const Params& p, const Work& w, int row, int& query, int& head) {
    query = p.packed ? w.first_query : w.first_query + row;
    head = p.packed ? w.head + row : w.head;
    return p.packed ? row < p.heads / p.kv_heads : query < p.q_len;
  }

  LIGHTCONE_DEVICE static int key_at(const Work& w, int position) {
    if (position >= w.key_count) return -1;
    return w.selected != nullptr ? w.selected[position] : position;
  }

  LIGHTCONE_DEVICE static int first_of_tile(const Work& w, int i) {
    return (w.tile_list != nullptr ? w.tile_list[w.first_tile + i] : w.first_tile + i) * kKeys;
  }

  template <class Block>
  LIGHTCONE_DEVICE static void load_keys(Block& block, const Params& p, const Work& w, int first, Bf16* k, Bf16* v) {
    constexpr int kChunks = kDim / 8;
    LIGHTCONE_UNROLL_4 for (int chunk = block.thread(); chunk < kKeys * kChunks; chunk += kThreads) {
      const int row = chunk / kChunks, column = chunk % kChunks * 8;
      const int key = key_at(w, first + row);
      const std::int64_t at =
          ((static_cast<std::int64_t>(w.batch) * p.kv_len + larger(key, 0)) * p.kv_heads + w.kv_head) * kDim + column;
      block.copy_async(k + row * kStride + column, p.k + at, key >= 0);
      block.copy_async(v + row * kStride + column, p.v + at, key >= 0);
    }
  }

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const Work w = work_of(block, p);
    const int warp_row = block.warp() * 16, lane = block.lane();

    // 1. Queries, through shared memory into registers.
    for (int chunk = block.thread(); chunk < kRows * kDim / 8; chunk += kThreads) {
      const int row = chunk / (kDim / 8), column = chunk % (kDim / 8) * 8;
      int query = 0, head = 0;
      const bool valid = locate(p, w, row, query, head);
      const std::int64_t at = ((static_cast<std::int64_t>(w.batch) * p.q_len + query) * p.heads + head) * kDim + column;
      block.copy_async(s.k[1] + row * kStride + column, valid ? p.q + at : p.q, valid);
    }
    block.commit();
    if (w.tiles > 0) load_keys(block, p, w, first_of_tile(w, 0), s.k[0], s.v[0]);
    block.commit();
    block.template wait<1>();
    block.sync();
    std::uint32_t q[kDim / 16][4];
    LIGHTCONE_UNROLL for (int k = 0; k < kDim / 16; ++k) {
      load_a<Depth::along_rows>(block, q[k], s.k[1], kStride, warp_row, k * 16);
    }
    block.sync();  // the queries' buffer is free

    Rows16<kDim> o;
    o.clear();
    float maximum[2] = {-infinity(), -infinity()}, sum[2] = {0, 0};  // of rows lane / 4 and lane / 4 + 8
    int position[2];
    LIGHTCONE_UNROLL for (int half = 0; half < 2; ++half) {
      int query = 0, head = 0;
      locate(p, w, warp_row + lane / 4 + half * 8, query, head);
      position[half] = p.kv_len - p.q_len + query;
    }

    for (int i = 0; i < w.tiles; ++i) {
      // 2. The next tile starts to come, this one is there.
      const int first = first_of_tile(w, i), now = i % 2;
      if (i + 1 < w.tiles) load_keys(block, p, w, first_of_tile(w, i + 1), s.k[1 - now], s.v[1 - now]);
      block.commit();
      block.template wait<1>();
      block.sync();
      // 3. Scores, masked.
      Rows16<kKeys> scores;
      scores.clear();
      LIGHTCONE_UNROLL for (int k = 0; k < kDim; k += 16) {
        LIGHTCONE_UNROLL for (int n = 0; n < kKeys; n += 16) {
          std::uint32_t b[4];
          load_b<Depth::along_rows>(block, b, s.k[now], kStride, k, n);
          block.mma(scores.at[n / 8], q[k / 16], b[0], b[1]);
          block.mma(scores.at[n / 8 + 1], q[k / 16], b[2], b[3]);
        }
      }
      float largest[2] = {-infinity(), -infinity()};
      LIGHTCONE_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
        LIGHTCONE_UNROLL for (int e = 0; e < 4; ++e) {
          const int key = key_at(w, first + n * 8 + accumulator_column(lane, e)), at = position[e / 2];
          const bool attended = key >= 0 && (!p.causal || key <= at) && (p.window == 0 || key > at - p.window);
          scores.at[n][e] = attended ? scores.at[n][e] * p.scale_log2 : -infinity();
          largest[e / 2] = max_of(largest[e / 2], scores.at[n][e]);
        }
      }
      // 4. Running softmax, base 2; four neighbouring lanes share a row.
      float shrink[2];
      LIGHTCONE_UNROLL for (int half = 0; half < 2; ++half) {
        largest[half] = max_of(largest[half], block.shuffle_xor(largest[half], 1));
        largest[half] = max_of(largest[half], block.shuffle_xor(largest[half], 2));
        const float raised = max_of(maximum[half], largest[half]);
        shrink[half] = raised == maximum[half] ? 1.0F : fast_exp2(maximum[half] - raised);
        maximum[half] = raised;
        sum[half] *= shrink[half];
      }
      LIGHTCONE_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
        LIGHTCONE_UNROLL for (int e = 0; e < 4; ++e) {
          // A row without a key so far has the maximum -infinity, and -infinity less itself is no number.
          const float weight = scores.at[n][e] == -infinity() ? 0.0F : fast_exp2(scores.at[n][e] - maximum[e / 2]);
          sum[e / 2] += weight;
          scores.at[n][e] = weight;
        }
      }
      LIGHTCONE_UNROLL for (int n = 0; n < kDim / 8; ++n) {
        LIGHTCONE_UNROLL for (int e = 0; e < 4; ++e) o.at[n][e] *= shrink[e / 2];
      }
      // 5. O += P V. The accumulators of two neighbouring score tiles are the A fragment of 16 keys.
      LIGHTCONE_UNROLL for (int k = 0; k < kKeys; k += 16) {
        const float(&low)[4] = scores.at[k / 8];
        const float(&high)[4] = scores.at[k / 8 + 1];
        const std::uint32_t a[4] = {pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]), pack_bf16(high[0], high[1]),
                                    pack_bf16(high[2], high[3])};
        LIGHTCONE_UNROLL for (int n = 0; n < kDim; n += 16) {
          std::uint32_t b[4];
          load_b<Depth::across_rows>(block, b, s.v[now], kStride, k, n);
          block.mma(o.at[n / 8], a, b[0], b[1]);
          block.mma(o.at[n / 8 + 1], a, b[2], b[3]);
        }
      }
      block.sync();  // nobody reads this tile any more
    }

    // 6. Normalise and store.
    float lse[2];
    LIGHTCONE_UNROLL for (int half = 0; half < 2; ++half) {
      sum[half] += block.shuffle_xor(sum[half], 1);
      sum[half] += block.shuffle_xor(sum[half], 2);
      lse[half] = sum[half] > 0 ? maximum[half] + log2f(sum[half]) : -infinity();
      sum[half] = sum[half] > 0 ? 1.0F / sum[half] : 0.0F;
    }
    LIGHTCONE_UNROLL for (int n = 0; n < kDim / 8; ++n) {
      LIGHTCONE_UNROLL for (int e = 0; e < 4; ++e) {
        int query = 0, head = 0;
        if (!locate(p, w, warp_row + accumulator_row(lane, e), query, head)) continue;
        const std::int64_t row = (static_cast<std::int64_t>(w.batch) * p.q_len + query) * p.heads + head;
        const float value = o.at[n][e] * sum[e / 2];
        const int column = n * 8 + accumulator_column(lane, e);
        if (p.splits == 1) {
          store(p.o + row * kDim + column, value);
        } else {
          const std::int64_t rows = static_cast<std::int64_t>(block_batches(p, block)) * p.q_len * p.heads;
          p.partial_o[(block.z() * rows + row) * kDim + column] = value;
          if (column == 0) p.partial_lse[block.z() * rows + row] = lse[e / 2];
        }
      }
    }
  }

  template <class Block>
  LIGHTCONE_DEVICE static int block_batches(const Params& p, Block& block) {
    return block.grid_y() / (p.packed ? p.kv_heads : p.heads);
  }
};

// Attention over the union of the splits from the results over each: o = sum 2^(lse_s - lse) o_s.
template <int kDim>
struct MergeSplits {
  struct Params {
    const float *partial_o, *partial_lse;
    Bf16* o;
    int rows, splits;
  };
  static constexpr int kThreads = kDim;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int row = block.x(), column = block.thread();
    float largest = -infinity();
    for (int s = 0; s < p.splits; ++s) largest = max_of(largest, p.partial_lse[s * p.rows + row]);
    float sum = 0, value = 0;
    for (int s = 0; s < p.splits && largest > -infinity(); ++s) {
      const float weight = fast_exp2(p.partial_lse[s * p.rows + row] - largest);
      sum += weight;
      value += weight * p.partial_o[static_cast<std::int64_t>(s * p.rows + row) * kDim + column];
    }
    store(p.o + static_cast<std::int64_t>(row) * kDim + column, sum > 0 ? value / sum : 0.0F);
  }
};

inline FlashParams flash_params(const Arguments& args) {
  FlashParams p{};
  p.q = args.input<Bf16>(0);
  p.k = args.input<Bf16>(1);
  p.v = args.input<Bf16>(2);
  p.o = args.output<Bf16>(0);
  p.q_len = args.size("q_len");
  p.kv_len = args.size("kv_len");
  p.heads = args.size("heads");
  p.kv_heads = args.size("kv_heads");
  p.causal = args.size("causal") != 0;
  p.window = args.size("window");
  p.splits = 1;
  p.scale_log2 = kLog2E / std::sqrt(static_cast<float>(args.size("head_dim")));
  return p;
}

template <int kDim, int kWarps, class Run>
void launch_flash(Run& run, const FlashParams& p, int batch) {
  using Kernel = FlashAttention<kDim, kWarps>;
  const int tiles = p.packed ? p.q_len : ceil_div(p.q_len, Kernel::kRows);
  run.template launch<Kernel>({tiles, batch * (p.packed ? p.kv_heads : p.heads), p.splits}, p);
}

// A head dimension of 64 or 128.
template <int kWarps, class Run>
void launch_flash(Run& run, const FlashParams& p, int batch, int head_dim) {
  if (head_dim == 64) return launch_flash<64, kWarps>(run, p, batch);
  if (head_dim == 128) return launch_flash<128, kWarps>(run, p, batch);
  throw std::invalid_argument("attention: the head dimension must be 64 or 128");
}

// q, k, v -> o; causal and window as sizes.
template <class Run>
void attention_flash(Run& run, const Arguments& args) {
  launch_flash<4>(run, flash_params(args), args.size("batch"), args.size("head_dim"));
}

// As above, with the tiles of 64 keys that each tile of 64 queries visits: offsets [query tiles + 1], tiles.
template <class Run>
void attention_block_sparse(Run& run, const Arguments& args) {
  FlashParams p = flash_params(args);
  p.tile_offsets = args.input<int>(3);
  p.tiles = args.input<int>(4);
  launch_flash<4>(run, p, args.size("batch"), args.size("head_dim"));
}

// As above, with the keys of each query: selected [batch, q_len, kv_heads, selected], -1: none. Up to 16 heads a group.
template <class Run>
void attention_selected(Run& run, const Arguments& args) {
  FlashParams p = flash_params(args);
  p.packed = true;
  p.selected = args.input<int>(3);
  p.selected_count = args.size("selected");
  launch_flash<1>(run, p, args.size("batch"), args.size("head_dim"));
}

// One query per sequence against its cache, the keys in `splits` parts. Up to 16 heads a group.
template <class Run>
void attention_decode(Run& run, const Arguments& args) {
  FlashParams p = flash_params(args);
  const int batch = args.size("batch"), head_dim = args.size("head_dim"), rows = batch * p.q_len * p.heads;
  p.packed = true;
  p.splits = larger(1, args.size("splits"));
  if (p.splits > 1) {
    p.partial_o = run.template scratch<float>(static_cast<std::size_t>(p.splits) * static_cast<std::size_t>(rows) *
                                              static_cast<std::size_t>(head_dim));
    p.partial_lse = run.template scratch<float>(static_cast<std::size_t>(p.splits) * static_cast<std::size_t>(rows));
  }
  launch_flash<1>(run, p, batch, head_dim);
  if (p.splits == 1) return;
  if (head_dim == 64) {
    run.template launch<MergeSplits<64>>({rows}, {p.partial_o, p.partial_lse, p.o, rows, p.splits});
  } else {
    run.template launch<MergeSplits<128>>({rows}, {p.partial_o, p.partial_lse, p.o, rows, p.splits});
  }
}

}  // namespace lightcone::models::cuda
