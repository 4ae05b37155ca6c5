// SPDX-License-Identifier: Apache-2.0
// Quantisation of activations, bf16 to 8 bits: E4M3 with a scale per 128 values of a row (DeepSeek-V3), int8 with a
// scale per row (W8A8); and back.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/reduce.h"

namespace lightcone::models::cuda {

// ---- E4M3, 1 x 128: a warp per block, 4 values per lane
// ---------------------------------------------------------------------

struct QuantiseFp8Params {
  const Bf16* in;       // [m, n]
  std::uint8_t* codes;  // [m, n]
  float* scales;        // [m, n / 128 rounded up]
  int n, blocks;        // blocks in all, of all rows
};
struct QuantiseFp8 {
  using Params = QuantiseFp8Params;
  static constexpr int kThreads = 128, kBlock = 128;
  static constexpr float kFloor = 1e-4F, kLargest = 448.0F;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int index = block.x() * (kThreads / 32) + block.warp(), lane = block.lane();
    const int per_row = (p.n + kBlock - 1) / kBlock, at = smaller(index, p.blocks - 1);
    const std::int64_t row = static_cast<std::int64_t>(at / per_row) * p.n;
    float value[4], largest = kFloor;
    LIGHTCONE_UNROLL for (int i = 0; i < 4; ++i) {
      const int column = at % per_row * kBlock + i * 32 + lane;
      value[i] = column < p.n ? to_float(p.in[row + column]) : 0.0F;
      largest = max_of(largest, fabsf(value[i]));
    }
    largest = over_warp<Largest>(block, largest);
    const float scale = largest / kLargest;
    if (index >= p.blocks) return;
    LIGHTCONE_UNROLL for (int i = 0; i < 4; ++i) {
      const int column = at % per_row * kBlock + i * 32 + lane;
      if (column < p.n) p.codes[row + column] = to_e4m3(value[i] / scale);
    }
    if (lane == 0) p.scales[at] = scale;
  }
};

// in [m, n] -> codes [m, n], scales [m, ceil(n / 128)].
template <class Run>
void quantise_fp8(Run& run, const Arguments& args) {
  const int n = args.size("n"), blocks = args.size("m") * ceil_div(n, QuantiseFp8::kBlock);
  run.template launch<QuantiseFp8>(
      {ceil_div(blocks, QuantiseFp8::kThreads / 32)},
      {args.input<Bf16>(0), args.output<std::uint8_t>(0), args.output<float>(1), n, blocks});
}

struct DequantiseFp8 {
  struct Params {
    const std::uint8_t* codes;
    const float* scales;
    Bf16* out;
    int n;
  };
  static constexpr int kThreads = 256;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int column = block.x() * kThreads + block.thread();
    if (column >= p.n) return;
    const std::int64_t at = static_cast<std::int64_t>(block.y()) * p.n + column;
    const int per_row = (p.n + QuantiseFp8::kBlock - 1) / QuantiseFp8::kBlock;
    const float scale = p.scales[static_cast<std::int64_t>(block.y()) * per_row + column / QuantiseFp8::kBlock];
    p.out[at] = to_bf16(from_e4m3(p.codes[at]) * scale);
  }
};

// codes [m, n], scales [m, ceil(n / 128)] -> out [m, n].
template <class Run>
void dequantise_fp8(Run& run, const Arguments& args) {
  const int n = args.size("n");
  run.template launch<DequantiseFp8>({ceil_div(n, DequantiseFp8::kThreads), args.size("m")},
                                     {args.input<std::uint8_t>(0), args.input<float>(1), args.output<Bf16>(0), n});
}

// ---- int8, a scale per row: a CTA per row
// ----------------------------------------------------------------------------------

struct QuantiseInt8 {
  struct Params {
    const Bf16* in;
    std::int8_t* codes;
    float* scales;  // [m]
    int n;
  };
  static constexpr int kThreads = 256;
  struct Shared {
    float partial[kThreads / 32];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const std::int64_t row = static_cast<std::int64_t>(block.x()) * p.n;
    float largest = 0;
    for (int i = block.thread(); i < p.n; i += kThreads) largest = max_of(largest, fabsf(to_float(p.in[row + i])));
    largest = over_block<Largest, kThreads / 32>(block, s.partial, largest);
    const float scale = largest == 0 ? 1.0F : largest / 127.0F;
    for (int i = block.thread(); i < p.n; i += kThreads) {
      const float code = max_of(min_of(rintf(to_float(p.in[row + i]) / scale), 127.0F), -127.0F);
      p.codes[row + i] = static_cast<std::int8_t>(code);
    }
    if (block.thread() == 0) p.scales[block.x()] = scale;
  }
};

// in [m, n] -> codes [m, n], scales [m].
template <class Run>
void quantise_int8(Run& run, const Arguments& args) {
  run.template launch<QuantiseInt8>(
      {args.size("m")}, {args.input<Bf16>(0), args.output<std::int8_t>(0), args.output<float>(1), args.size("n")});
}

}  // namespace lightcone::models::cuda
