// SPDX-License-Identifier: Apache-2.0
// The WKV operators of RWKV-6 and RWKV-7, token by token as the official kernels run them: one CTA per head, one thread
// per value column with its column of the state in registers, keys and decays of a token through shared memory.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/number.h"

namespace lightcone::models::cuda {

constexpr int kWkv = 64;  // keys and values per head, as in every published RWKV-6 and -7

// All [batch, tokens, heads, 64]; bonus [heads, 64]. State [batch, heads, 64 keys, 64 values], after the last token.
struct Rwkv6Params {
  const Bf16 *r, *k, *v;
  const float *log_decay, *bonus;
  Bf16* o;
  float* state;
  int tokens, heads;
};

// o_t = (S + diag(u) k v^T)^T r, then S = diag(e^g) S + k v^T.
struct Rwkv6 {
  using Params = Rwkv6Params;
  static constexpr int kThreads = kWkv;
  struct Shared {
    float r[kWkv], k[kWkv], decay[kWkv], bonus[kWkv];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int head = block.x() % p.heads, batch = block.x() / p.heads, i = block.thread();
    float state[kWkv];
    LIGHTCONE_UNROLL for (int j = 0; j < kWkv; ++j) state[j] = 0;
    s.bonus[i] = p.bonus[head * kWkv + i];
    for (int t = 0; t < p.tokens; ++t) {
      const std::int64_t at = ((static_cast<std::int64_t>(batch) * p.tokens + t) * p.heads + head) * kWkv + i;
      block.sync();  // the token before is done with these
      s.r[i] = to_float(p.r[at]);
      s.k[i] = to_float(p.k[at]);
      s.decay[i] = expf(p.log_decay[at]);
      block.sync();
      const float v = to_float(p.v[at]);
      float o = 0;
      LIGHTCONE_UNROLL for (int j = 0; j < kWkv; ++j) {
        const float update = s.k[j] * v;
        o += s.r[j] * (state[j] + s.bonus[j] * update);
        state[j] = state[j] * s.decay[j] + update;
      }
      p.o[at] = to_bf16(o);
    }
    LIGHTCONE_UNROLL for (int j = 0; j < kWkv; ++j) {
      p.state[(static_cast<std::int64_t>(block.x()) * kWkv + j) * kWkv + i] = state[j];
    }
  }
};

struct Rwkv7Params {
  const Bf16 *r, *k, *v, *a, *b;
  const float* log_decay;
  Bf16* o;
  float* state;
  int tokens, heads;
};

// u = S^T a, S = diag(e^g) S + b u^T + k v^T, o = S^T r.
struct Rwkv7 {
  using Params = Rwkv7Params;
  static constexpr int kThreads = kWkv;
  struct Shared {
    float r[kWkv], k[kWkv], a[kWkv], b[kWkv], decay[kWkv];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int head = block.x() % p.heads, batch = block.x() / p.heads, i = block.thread();
    float state[kWkv];
    LIGHTCONE_UNROLL for (int j = 0; j < kWkv; ++j) state[j] = 0;
    for (int t = 0; t < p.tokens; ++t) {
      const std::int64_t at = ((static_cast<std::int64_t>(batch) * p.tokens + t) * p.heads + head) * kWkv + i;
      block.sync();
      s.r[i] = to_float(p.r[at]);
      s.k[i] = to_float(p.k[at]);
      s.a[i] = to_float(p.a[at]);
      s.b[i] = to_float(p.b[at]);
      s.decay[i] = expf(p.log_decay[at]);
      block.sync();
      const float v = to_float(p.v[at]);
      float u = 0, o = 0;
      LIGHTCONE_UNROLL for (int j = 0; j < kWkv; ++j) u += s.a[j] * state[j];
      LIGHTCONE_UNROLL for (int j = 0; j < kWkv; ++j) {
        state[j] = state[j] * s.decay[j] + s.b[j] * u + s.k[j] * v;
        o += s.r[j] * state[j];
      }
      p.o[at] = to_bf16(o);
    }
    LIGHTCONE_UNROLL for (int j = 0; j < kWkv; ++j) {
      p.state[(static_cast<std::int64_t>(block.x()) * kWkv + j) * kWkv + i] = state[j];
    }
  }
};

// r, k, v, log decay [batch, tokens, heads, 64], bonus [heads, 64] -> o, state.
template <class Run>
void rwkv6(Run& run, const Arguments& args) {
  run.template launch<Rwkv6>(
      {args.size("batch") * args.size("heads")},
      {args.input<Bf16>(0), args.input<Bf16>(1), args.input<Bf16>(2), args.input<float>(3), args.input<float>(4),
       args.output<Bf16>(0), args.output<float>(1), args.size("tokens"), args.size("heads")});
}

// r, k, v, a, b, log decay [batch, tokens, heads, 64] -> o, state.
template <class Run>
void rwkv7(Run& run, const Arguments& args) {
  run.template launch<Rwkv7>(
      {args.size("batch") * args.size("heads")},
      {args.input<Bf16>(0), args.input<Bf16>(1), args.input<Bf16>(2), args.input<Bf16>(3), args.input<Bf16>(4),
       args.input<float>(5), args.output<Bf16>(0), args.output<float>(1), args.size("tokens"), args.size("heads")});
}

}  // namespace lightcone::models::cuda
