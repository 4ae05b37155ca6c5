// SPDX-License-Identifier: Apache-2.0
// C = A B on the tensor cores of sm_80 and later: CTA tiles of 128 x 128 x 32 through a ring of four stages in shared
// memory that cp.async fills, 8 warps of 64 x 32 with ldmatrix and mma.sync; fp32 sums. Also batched with strides, and
// grouped: the rows of A cut into groups that each have a B of their own. Not done: rasterisation for the L2, split-K.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/tensor_core.h"

namespace lightcone::models::cuda {

// A is [m, k]. B is [n, k] (along_rows) or [k, n]. Distances in elements. CTA z is outer * inner_count + inner.
struct GemmParams {
  const Bf16 *a, *b;
  void* c;
  int m, n, k;
  int lda, ldb, ldc;
  int inner = 1;    // batches per outer step
  int b_share = 1;  // inner batches that share a B (heads of a KV group)
  std::int64_t a_outer = 0, a_inner = 0, b_outer = 0, b_inner = 0, c_outer = 0, c_inner = 0;
  const int* offsets = nullptr;  // of groups: group z has the rows offsets[z] .. offsets[z + 1] of A and C
  bool aligned = false;          // rows of A and B start at multiples of 16 bytes and are whole multiples of it
};

template <Depth kB, class Out>
struct Gemm {
  using Params = GemmParams;
  static constexpr int kThreads = 256, kM = 128, kN = 128, kK = 32, kStages = 4;
  static constexpr int kBRows = kB == Depth::along_rows ? kN : kK, kBColumns = kB == Depth::along_rows ? kK : kN;
  static constexpr int kStrideA = kK + kPad, kStrideB = kBColumns + kPad;
  struct Shared {
    Bf16 a[kStages][kM * kStrideA];
    Bf16 b[kStages][kBRows * kStrideB];
  };

  // A tile of kRows x kColumns at (row, column) of a matrix of rows x columns; zeros outside.
  template <int kRows, int kColumns, class Block>
  LIGHTCONE_DEVICE static void load(Block& block, Bf16* tile, const Bf16* matrix, int ld, int row, int column, int rows,
                                    int columns, bool aligned) {
    constexpr int kChunks = kColumns / 8;
    LIGHTCONE_UNROLL for (int i = 0; i < kRows * kChunks / kThreads; ++i) {
      const int chunk = i * kThreads + block.thread();
      const int r = chunk / kChunks, c = chunk % kChunks * 8;
      Bf16* to = tile + r * (kColumns + kPad) + c;
      const bool inside = row + r < rows && column + c < columns;
      const Bf16* from = matrix + static_cast<std::int64_t>(row + r) * ld + column + c;
      if (aligned) {
        block.copy_async(to, inside ? from : matrix, inside);
      } else {
        for (int e = 0; e < 8; ++e) to[e] = inside && column + c + e < columns ? from[e] : Bf16{0};
      }
    }
  }

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int outer = block.z() / p.inner, inner = block.z() % p.inner;
    const Bf16* a = p.a + outer * p.a_outer + inner * p.a_inner;
    const Bf16* b = p.b + outer * p.b_outer + inner / p.b_share * p.b_inner;
    Out* c = static_cast<Out*>(p.c) + outer * p.c_outer + inner * p.c_inner;
    int m = p.m;
    if (p.offsets != nullptr) {
      const int first = p.offsets[block.z()];
      m = p.offsets[block.z() + 1] - first;
      a += static_cast<std::int64_t>(first) * p.lda;
      c += static_cast<std::int64_t>(first) * p.ldc;
    }
    const int m0 = block.y() * kM, n0 = block.x() * kN;
    if (m0 >= m) return;  // of a short group, for the whole CTA

    const auto fill = [&](int stage, int k) {
      load<kM, kK>(block, s.a[stage], a, p.lda, m0, k, m, p.k, p.aligned);
      if constexpr (kB == Depth::along_rows) {
        load<kN, kK>(block, s.b[stage], b, p.ldb, n0, k, p.n, p.k, p.aligned);
      } else {
        load<kK, kN>(block, s.b[stage], b, p.ldb, k, n0, p.k, p.n, p.aligned);
      }
    };
    // 1. Fill all stages but one. A group is committed for every stage, even an empty one, so that they can be counted.
    const int steps = (p.k + kK - 1) / kK;
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if (stage < steps) fill(stage, stage * kK);
      block.commit();
    }
    const int warp_m = block.warp() / 4 * 64, warp_n = block.warp() % 4 * 32;
    Rows16<32> sum[4];
    LIGHTCONE_UNROLL for (int i = 0; i < 4; ++i) sum[i].clear();
    for (int step = 0; step < steps; ++step) {
      // 2. The oldest stage has arrived for this thread, after the barrier for all; the barrier also says that nobody
      // reads the stage of the step before any more, which is filled next.
      block.template wait<kStages - 2>();
      block.sync();
      const int next = step + kStages - 1;
      if (next < steps) fill(next % kStages, next * kK);
      block.commit();
      // 3. Multiply.
      const Bf16 *tile_a = s.a[step % kStages], *tile_b = s.b[step % kStages];
      LIGHTCONE_UNROLL for (int k = 0; k < kK; k += 16) {
        std::uint32_t fragment_b[2][4];
        LIGHTCONE_UNROLL for (int j = 0; j < 2; ++j)
            load_b<kB>(block, fragment_b[j], tile_b, kStrideB, k, warp_n + j * 16);
        LIGHTCONE_UNROLL for (int i = 0; i < 4; ++i) {
          std::uint32_t fragment_a[4];
          load_a<Depth::along_rows>(block, fragment_a, tile_a, kStrideA, warp_m + i * 16, k);
          LIGHTCONE_UNROLL for (int j = 0; j < 4; ++j) {
            block.mma(sum[i].at[j], fragment_a, fragment_b[j / 2][j % 2 * 2], fragment_b[j / 2][j % 2 * 2 + 1]);
          }
        }
      }
    }
    // 4. Store what lies inside.
    LIGHTCONE_UNROLL for (int i = 0; i < 4; ++i) {
      sum[i].for_each(block.lane(), [&](float value, int row, int column) {
        const int r = m0 + warp_m + i * 16 + row, n = n0 + warp_n + column;
        if (r < m && n < p.n) store(c + static_cast<std::int64_t>(r) * p.ldc + n, value);
      });
    }
  }
};

// a [m, k], b [n, k] -> c [m, n], all bf16.
template <class Run>
void gemm(Run& run, const Arguments& args) {
  using Kernel = Gemm<Depth::along_rows, Bf16>;
  const int m = args.size("m"), n = args.size("n"), k = args.size("k");
  GemmParams p{args.input<Bf16>(0), args.input<Bf16>(1), args.output<Bf16>(0), m, n, k, k, k, n};
  p.aligned = k % 8 == 0;
  run.template launch<Kernel>({ceil_div(n, Kernel::kN), ceil_div(m, Kernel::kM)}, p);
}

// a [batch, m, k], b [batch, n, k] -> c [batch, m, n].
template <class Run>
void batched_gemm(Run& run, const Arguments& args) {
  using Kernel = Gemm<Depth::along_rows, Bf16>;
  const int m = args.size("m"), n = args.size("n"), k = args.size("k");
  GemmParams p{args.input<Bf16>(0), args.input<Bf16>(1), args.output<Bf16>(0), m, n, k, k, k, n};
  p.aligned = k % 8 == 0;
  p.a_outer = static_cast<std::int64_t>(m) * k;
  p.b_outer = static_cast<std::int64_t>(n) * k;
  p.c_outer = static_cast<std::int64_t>(m) * n;
  run.template launch<Kernel>({ceil_div(n, Kernel::kN), ceil_div(m, Kernel::kM), args.size("batch")}, p);
}

// The experts of a mixture: a [rows, k] sorted by expert, b [groups, n, k], offsets [groups + 1] -> c [rows, n].
template <class Run>
void grouped_gemm(Run& run, const Arguments& args) {
  using Kernel = Gemm<Depth::along_rows, Bf16>;
  const int n = args.size("n"), k = args.size("k"), groups = args.size("groups");
  GemmParams p{args.input<Bf16>(0), args.input<Bf16>(1), args.output<Bf16>(0), 0, n, k, k, k, n};
  p.aligned = k % 8 == 0;
  p.b_outer = static_cast<std::int64_t>(n) * k;
  p.offsets = args.input<int>(2);
  run.template launch<Kernel>({ceil_div(n, Kernel::kN), ceil_div(args.size("most_rows"), Kernel::kM), groups}, p);
}

}  // namespace lightcone::models::cuda
