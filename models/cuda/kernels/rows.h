// SPDX-License-Identifier: Apache-2.0
// Kernels over rows, one CTA each, the row held in registers: softmax (also of masked attention scores), RMSNorm,
// LayerNorm. Rows of up to 16384 values; fp32 inside.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/reduce.h"

namespace lightcone::models::cuda {

constexpr int kRowThreads = 256, kRowChunks = 8;
constexpr int kLongestRow = kRowThreads * kRowChunks * 8;

// The values of a row that one thread holds: chunks of 8, a chunk of every 256 threads.
struct HeldRow {
  float at[kRowChunks][8];

  LIGHTCONE_DEVICE static int column(int thread, int chunk) { return (chunk * kRowThreads + thread) * 8; }

  template <class In>
  LIGHTCONE_DEVICE void load(int thread, const In* row, int columns, float outside) {
    LIGHTCONE_UNROLL for (int i = 0; i < kRowChunks; ++i) {
      const int first = column(thread, i);
      if (sizeof(In) == 2 && columns % 8 == 0 && first < columns) {
        std::uint32_t pairs[4];
        *reinterpret_cast<uint4_bytes*>(pairs) = *reinterpret_cast<const uint4_bytes*>(row + first);
        LIGHTCONE_UNROLL for (int e = 0; e < 8; ++e) {
          at[i][e] = bits_to_float(e % 2 == 0 ? pairs[e / 2] << 16 : pairs[e / 2] & 0xFFFF0000u);
        }
      } else {
        LIGHTCONE_UNROLL for (int e = 0; e < 8; ++e) at[i][e] =
            first + e < columns ? to_float(row[first + e]) : outside;
      }
    }
  }
  // each(value, column) of the columns there are.
  template <class Each>
  LIGHTCONE_DEVICE void for_each(int thread, int columns, const Each& each) {
    LIGHTCONE_UNROLL for (int i = 0; i < kRowChunks; ++i) {
      if (column(thread, i) >= columns) break;
      LIGHTCONE_UNROLL for (int e = 0; e < 8; ++e) {
        if (column(thread, i) + e < columns) each(at[i][e], column(thread, i) + e);
      }
    }
  }
  LIGHTCONE_DEVICE void save(int thread, Bf16* row, int columns) {
    LIGHTCONE_UNROLL for (int i = 0; i < kRowChunks; ++i) {
      const int first = column(thread, i);
      if (columns % 8 == 0 && first < columns) {
        std::uint32_t pairs[4];
        LIGHTCONE_UNROLL for (int e = 0; e < 4; ++e) pairs[e] = pack_bf16(at[i][2 * e], at[i][2 * e + 1]);
        *reinterpret_cast<uint4_bytes*>(row + first) = *reinterpret_cast<uint4_bytes*>(pairs);
      } else {
        LIGHTCONE_UNROLL for (int e = 0; e < 8; ++e) {
          if (first + e < columns) row[first + e] = to_bf16(at[i][e]);
        }
      }
    }
  }

 private:
  struct alignas(16) uint4_bytes {
    std::uint32_t word[4];
  };
};

// out = softmax(in) per row. With `q_len`: rows are the queries of an attention, of which each sees the keys up to its
// position (causal) and not before its window; the others get 0.
template <class In>
struct RowSoftmax {
  struct Params {
    const In* in;
    Bf16* out;
    int columns;
    bool causal = false;
    int window = 0, q_len = 1;
    float scale = 1;
  };
  static constexpr int kThreads = kRowThreads;
  struct Shared {
    float partial[kThreads / 32];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const std::int64_t at = static_cast<std::int64_t>(block.y()) * p.q_len + block.x();
    const int position = p.columns - p.q_len + block.x(), thread = block.thread();
    HeldRow row;
    row.load(thread, p.in + at * p.columns, p.columns, -infinity());
    float largest = -infinity();
    row.for_each(thread, p.columns, [&](float& value, int column) {
      const bool hidden = (p.causal && column > position) || (p.window > 0 && column <= position - p.window);
      value = hidden ? -infinity() : value * p.scale * kLog2E;
      largest = max_of(largest, value);
    });
    largest = over_block<Largest, kThreads / 32>(block, s.partial, largest);
    float sum = 0;
    row.for_each(thread, p.columns, [&](float& value, int) {
      value = value == -infinity() ? 0.0F : fast_exp2(value - largest);
      sum += value;
    });
    sum = over_block<Add, kThreads / 32>(block, s.partial, sum);
    const float reciprocal = sum > 0 ? 1.0F / sum : 0.0F;
    row.for_each(thread, p.columns, [&](float& value, int) { value *= reciprocal; });
    row.save(thread, p.out + at * p.columns, p.columns);
  }
};

// RMSNorm: x / sqrt(mean(x^2) + epsilon) weight. LayerNorm: (x - mean) / sqrt(variance + epsilon) weight + bias.
template <bool kLayer>
struct RowNorm {
  struct Params {
    const Bf16 *in, *weight, *bias;
    Bf16* out;
    int columns;
    float epsilon;
  };
  static constexpr int kThreads = kRowThreads;
  struct Shared {
    float partial[kThreads / 32];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const std::int64_t at = static_cast<std::int64_t>(block.x()) * p.columns;
    const int thread = block.thread();
    HeldRow row;
    row.load(thread, p.in + at, p.columns, 0);
    float mean = 0;
    if constexpr (kLayer) {
      row.for_each(thread, p.columns, [&](float& value, int) { mean += value; });
      mean = over_block<Add, kThreads / 32>(block, s.partial, mean) / static_cast<float>(p.columns);
    }
    float squares = 0;
    row.for_each(thread, p.columns, [&](float& value, int) {
      value -= mean;
      squares += value * value;
    });
    squares = over_block<Add, kThreads / 32>(block, s.partial, squares);
    const float factor = 1.0F / sqrtf(squares / static_cast<float>(p.columns) + p.epsilon);
    row.for_each(thread, p.columns, [&](float& value, int column) {
      value *= factor * to_float(p.weight[column]);
      if constexpr (kLayer) value += to_float(p.bias[column]);
    });
    row.save(thread, p.out + at, p.columns);
  }
};

constexpr float kNormEpsilon = 1e-5F;

inline void check_row(int columns) {
  if (columns > kLongestRow) throw std::invalid_argument("row kernels: a row has at most 16384 values");
}

// in [m, n] -> out [m, n].
template <class Run>
void softmax(Run& run, const Arguments& args) {
  check_row(args.size("n"));
  run.template launch<RowSoftmax<Bf16>>({args.size("m")}, {args.input<Bf16>(0), args.output<Bf16>(0), args.size("n")});
}

// in [m, n], weight [n] -> out [m, n].
template <class Run>
void rmsnorm(Run& run, const Arguments& args) {
  check_row(args.size("n"));
  run.template launch<RowNorm<false>>({args.size("m")}, {args.input<Bf16>(0), args.input<Bf16>(1), nullptr,
                                                         args.output<Bf16>(0), args.size("n"), kNormEpsilon});
}

// in [m, n], weight [n], bias [n] -> out [m, n].
template <class Run>
void layernorm(Run& run, const Arguments& args) {
  check_row(args.size("n"));
  run.template launch<RowNorm<true>>({args.size("m")}, {args.input<Bf16>(0), args.input<Bf16>(1), args.input<Bf16>(2),
                                                        args.output<Bf16>(0), args.size("n"), kNormEpsilon});
}

}  // namespace lightcone::models::cuda
