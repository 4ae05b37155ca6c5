// SPDX-License-Identifier: Apache-2.0
// Elementwise and small recurrences: RG-LRU (Griffin), LSTM, Mamba's selective scan, and the short causal convolution
// before such layers.
#pragma once

#include "models/cuda/kernels/gemm.h"
#include "models/cuda/kernels/reduce.h"

namespace lightcone::models::cuda {

// ---- RG-LRU: gates from their sums, then the scan; one thread per channel, serial over the tokens
// ----------------------

struct RgLruParams {
  const Bf16* x;                                       // [batch, tokens, width]
  const float *recurrence_sums, *input_sums;           // the same: x W without bias
  const float *recurrence_bias, *input_bias, *lambda;  // [width]
  float* h;                                            // as x
  int tokens, width;
};
struct RgLru {
  using Params = RgLruParams;
  static constexpr int kThreads = 64;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int d = block.x() * kThreads + block.thread();
    if (d >= p.width) return;
    const float rate = -8.0F * softplus(p.lambda[d]), bias_r = p.recurrence_bias[d], bias_i = p.input_bias[d];
    float h = 0;
    for (int t = 0; t < p.tokens; ++t) {
      const std::int64_t at = (static_cast<std::int64_t>(block.y()) * p.tokens + t) * p.width + d;
      const float log_a = rate * sigmoid(p.recurrence_sums[at] + bias_r);
      const float gated = sigmoid(p.input_sums[at] + bias_i) * to_float(p.x[at]);
      // The first token resets: a = 0 and a multiplier of 1.
      h = t == 0 ? gated : expf(log_a) * h + sqrtf(-expm1f(2.0F * log_a)) * gated;
      p.h[at] = h;
    }
  }
};

// x [batch, tokens, width], recurrence gate and input gate [blocks, width / blocks out, width / blocks in] (bf16),
// their biases and lambda [width] (fp32) -> h as x, fp32.
template <class Run>
void rg_lru(Run& run, const Arguments& args) {
  using Gate = Gemm<Depth::along_rows, float>;
  const int batch = args.size("batch"), tokens = args.size("tokens"), width = args.size("width"),
            blocks = args.size("blocks"), part = width / blocks;
  const std::size_t count =
      static_cast<std::size_t>(batch) * static_cast<std::size_t>(tokens) * static_cast<std::size_t>(width);
  float* sums[2];
  for (std::size_t gate = 0; gate < 2; ++gate) {
    sums[gate] = run.template scratch<float>(count);
    GemmParams p{
        args.input<Bf16>(0), args.input<Bf16>(1 + gate), sums[gate], batch * tokens, part, part, width, part, width};
    p.a_outer = p.c_outer = part;
    p.b_outer = static_cast<std::int64_t>(part) * part;
    p.aligned = part % 8 == 0;
    run.template launch<Gate>({ceil_div(part, Gate::kN), ceil_div(batch * tokens, Gate::kM), blocks}, p);
  }
  run.template launch<RgLru>({ceil_div(width, RgLru::kThreads), batch},
                             {args.input<Bf16>(0), sums[0], sums[1], args.input<float>(3), args.input<float>(4),
                              args.input<float>(5), args.output<float>(0), tokens, width});
}

// ---- LSTM: sums of the inputs by one GEMM, then a kernel per token; one warp per sequence and unit
// ----------------------

struct LstmParams {
  const float* sums;  // [batch, tokens, 4 width], without bias: gates i, f, o, z
  const Bf16* r;      // [4 width, width]
  const float* bias;  // [4 width]
  float* h;           // [batch, tokens, width]
  float* c;           // [batch, width], of the token before
  int tokens, width, token;
};
struct LstmStep {
  using Params = LstmParams;
  static constexpr int kThreads = 128;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int n = block.x() * (kThreads / 32) + block.warp(), b = block.y(), lane = block.lane();
    const int unit = smaller(n, p.width - 1);  // all lanes of a warp stay for its sums
    const float* last = p.h + (static_cast<std::int64_t>(b) * p.tokens + p.token - 1) * p.width;
    float gate[4];
    LIGHTCONE_UNROLL for (int g = 0; g < 4; ++g) {
      float sum = 0;
      const Bf16* row = p.r + static_cast<std::int64_t>(g * p.width + unit) * p.width;
      for (int m = lane; m < p.width && p.token > 0; m += 32) sum += last[m] * to_float(row[m]);
      sum = over_warp<Add>(block, sum);
      gate[g] = sum + p.bias[g * p.width + unit] +
                p.sums[(static_cast<std::int64_t>(b) * p.tokens + p.token) * 4 * p.width + g * p.width + unit];
    }
    if (lane != 0 || n >= p.width) return;
    float* c = p.c + static_cast<std::int64_t>(b) * p.width + n;
    const float before = p.token > 0 ? *c : 0.0F;
    const float now = sigmoid(gate[1]) * before + sigmoid(gate[0]) * tanhf(gate[3]);
    *c = now;
    p.h[(static_cast<std::int64_t>(b) * p.tokens + p.token) * p.width + n] = sigmoid(gate[2]) * tanhf(now);
  }
};

// x [batch, tokens, inputs], w [4 width, inputs], r [4 width, width] (bf16), bias [4 width] -> h [batch, tokens,
// width].
template <class Run>
void lstm(Run& run, const Arguments& args) {
  using Sums = Gemm<Depth::along_rows, float>;
  const int batch = args.size("batch"), tokens = args.size("tokens"), width = args.size("width"),
            inputs = args.size("inputs"), rows = batch * tokens;
  float* sums = run.template scratch<float>(static_cast<std::size_t>(rows) * 4 * static_cast<std::size_t>(width));
  float* c = run.template scratch<float>(static_cast<std::size_t>(batch * width));
  GemmParams p{args.input<Bf16>(0), args.input<Bf16>(1), sums, rows, 4 * width, inputs, inputs, inputs, 4 * width};
  p.aligned = inputs % 8 == 0;
  run.template launch<Sums>({ceil_div(4 * width, Sums::kN), ceil_div(rows, Sums::kM)}, p);
  for (int t = 0; t < tokens; ++t) {
    run.template launch<LstmStep>(
        {ceil_div(width, LstmStep::kThreads / 32), batch},
        {sums, args.input<Bf16>(2), args.input<float>(3), args.output<float>(0), c, tokens, width, t});
  }
}

// ---- Selective scan (Mamba): one CTA per channel, blocks of tokens by a scan over the threads
// ---------------------------

struct SelectiveScanParams {
  const Bf16* u;       // [batch, tokens, width]
  const float* delta;  // the same, after softplus
  const float* a;      // [width, states], negative
  const Bf16 *b, *c;   // [batch, tokens, states]
  const float* skip;   // [width]
  const Bf16* z;       // as u
  Bf16* y;             // as u
  float* state;        // [batch, width, states], after the last token
  int tokens, width, states;
};
struct SelectiveScanKernel {
  using Params = SelectiveScanParams;
  static constexpr int kThreads = 128, kWarps = kThreads / 32, kItems = 4, kMostStates = 64;
  struct Shared {
    float warp_a[kWarps], warp_b[kWarps];
    float carried[kMostStates];  // the state after the block of tokens before
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int d = block.x(), thread = block.thread(), lane = block.lane(), warp = block.warp();
    const std::int64_t row0 = static_cast<std::int64_t>(block.y()) * p.tokens;
    for (int n = thread; n < p.states; n += kThreads) s.carried[n] = 0;
    for (int first = 0; first < p.tokens; first += kThreads * kItems) {
      const int t0 = first + thread * kItems;
      float u[kItems], delta[kItems], y[kItems];
      LIGHTCONE_UNROLL for (int i = 0; i < kItems; ++i) {
        const bool inside = t0 + i < p.tokens;
        u[i] = inside ? to_float(p.u[(row0 + t0 + i) * p.width + d]) : 0.0F;
        delta[i] = inside ? p.delta[(row0 + t0 + i) * p.width + d] : 0.0F;
        y[i] = p.skip[d] * u[i];
      }
      for (int n = 0; n < p.states; ++n) {
        // 1. This thread's tokens as one map h -> a h + b. Beyond the last token it is the identity.
        const float rate = p.a[d * p.states + n] * kLog2E;
        float step_a[kItems], step_b[kItems], a = 1, b = 0;
        LIGHTCONE_UNROLL for (int i = 0; i < kItems; ++i) {
          const bool inside = t0 + i < p.tokens;
          step_a[i] = inside ? exp2f(delta[i] * rate) : 1.0F;
          step_b[i] = inside ? delta[i] * u[i] * to_float(p.b[(row0 + t0 + i) * p.states + n]) : 0.0F;
          b = step_a[i] * b + step_b[i];
          a *= step_a[i];
        }
        // 2. Inclusive scan over the warp, then over the warps.
        LIGHTCONE_UNROLL for (int distance = 1; distance < 32; distance *= 2) {
          const float before_a = block.shuffle_up(a, distance), before_b = block.shuffle_up(b, distance);
          if (lane >= distance) {
            b += a * before_b;
            a *= before_a;
          }
        }
        block.sync();  // `carried` and the warps' maps of the state before are no longer read
        if (lane == 31) {
          s.warp_a[warp] = a;
          s.warp_b[warp] = b;
        }
        const float before_a = block.shuffle_up(a, 1), before_b = block.shuffle_up(b, 1);
        block.sync();
        float h = s.carried[n];
        for (int w = 0; w < warp; ++w) h = s.warp_a[w] * h + s.warp_b[w];
        if (lane > 0) h = before_a * h + before_b;
        // 3. The tokens again, from their own start.
        LIGHTCONE_UNROLL for (int i = 0; i < kItems; ++i) {
          h = step_a[i] * h + step_b[i];
          if (t0 + i < p.tokens) y[i] += h * to_float(p.c[(row0 + t0 + i) * p.states + n]);
        }
        block.sync();  // all have read `carried`
        if (thread == kThreads - 1) s.carried[n] = h;
      }
      LIGHTCONE_UNROLL for (int i = 0; i < kItems; ++i) {
        if (t0 + i >= p.tokens) continue;
        const std::int64_t at = (row0 + t0 + i) * p.width + d;
        const float z = to_float(p.z[at]);
        p.y[at] = to_bf16(y[i] * z * sigmoid(z));
      }
    }
    block.sync();
    for (int n = thread; n < p.states; n += kThreads) {
      p.state[(static_cast<std::int64_t>(block.y()) * p.width + d) * p.states + n] = s.carried[n];
    }
  }
};

// u, delta, a, b, c, skip, z as above -> y, state. At most 64 states.
template <class Run>
void selective_scan(Run& run, const Arguments& args) {
  const int width = args.size("width"), states = args.size("states");
  if (states > SelectiveScanKernel::kMostStates) throw std::invalid_argument("selective scan: at most 64 states");
  run.template launch<SelectiveScanKernel>(
      {width, args.size("batch")}, {args.input<Bf16>(0), args.input<float>(1), args.input<float>(2),
                                    args.input<Bf16>(3), args.input<Bf16>(4), args.input<float>(5), args.input<Bf16>(6),
                                    args.output<Bf16>(0), args.output<float>(1), args.size("tokens"), width, states});
}

// ---- Causal convolution of a few tokens, with SiLU; a thread per channel and run of tokens
// --------------------------------

struct CausalConvParams {
  const Bf16 *x, *weight, *bias;  // [batch, tokens, channels], [channels, taps], [channels]
  Bf16* y;
  int tokens, channels, taps;
};
struct CausalConv {
  using Params = CausalConvParams;
  static constexpr int kThreads = 128, kRun = 16, kMostTaps = 8;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int channel = block.x() * kThreads + block.thread(), t0 = block.y() * kRun;
    if (channel >= p.channels) return;
    const std::int64_t row0 = static_cast<std::int64_t>(block.z()) * p.tokens;
    float weight[kMostTaps], window[kMostTaps];  // the last value of the window is the present token's
    LIGHTCONE_UNROLL for (int j = 0; j < kMostTaps; ++j) {
      const int tap = j - (kMostTaps - p.taps), t = t0 + j - kMostTaps;  // shifted in by one before it is used
      weight[j] = tap >= 0 ? to_float(p.weight[channel * p.taps + tap]) : 0.0F;
      window[j] = tap >= 0 && t >= 0 ? to_float(p.x[(row0 + t) * p.channels + channel]) : 0.0F;
    }
    const float bias = to_float(p.bias[channel]);
    for (int t = t0; t < smaller(t0 + kRun, p.tokens); ++t) {
      LIGHTCONE_UNROLL for (int j = 0; j + 1 < kMostTaps; ++j) window[j] = window[j + 1];
      window[kMostTaps - 1] = to_float(p.x[(row0 + t) * p.channels + channel]);
      float sum = bias;
      LIGHTCONE_UNROLL for (int j = 0; j < kMostTaps; ++j) sum += weight[j] * window[j];
      p.y[(row0 + t) * p.channels + channel] = to_bf16(sum * sigmoid(sum));
    }
  }
};

// x [batch, tokens, channels], weight [channels, taps], bias [channels] -> silu(convolution), as x. At most 8 taps.
template <class Run>
void causal_conv1d(Run& run, const Arguments& args) {
  const int channels = args.size("channels"), tokens = args.size("tokens");
  if (args.size("taps") > CausalConv::kMostTaps) throw std::invalid_argument("causal convolution: at most 8 taps");
  run.template launch<CausalConv>(
      {ceil_div(channels, CausalConv::kThreads), ceil_div(tokens, CausalConv::kRun), args.size("batch")},
      {args.input<Bf16>(0), args.input<Bf16>(1), args.input<Bf16>(2), args.output<Bf16>(0), tokens, channels,
       args.size("taps")});
}

}  // namespace lightcone::models::cuda
