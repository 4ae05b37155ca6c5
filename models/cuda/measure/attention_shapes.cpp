// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "models/cuda/measure/op_shapes.h"

namespace lightcone::models::cuda {

namespace {

struct Heads {
  std::int64_t heads, kv_heads, dim;
};

TimedShape attention(const char* op, const char* primitive, std::int64_t batch, std::int64_t q_len, std::int64_t kv_len,
                     Heads h, std::int64_t window, bool quick) {
  TimedShape shape{op,
                   "bf16",
                   {{"batch", batch},
                    {"heads", h.heads},
                    {"kv_heads", h.kv_heads},
                    {"q_len", q_len},
                    {"kv_len", kv_len},
                    {"head_dim", h.dim},
                    {"causal", 1},
                    {"kv_dtype", "bf16"}},
                   primitive,
                   {{"batch", batch},
                    {"heads", h.heads},
                    {"kv_heads", h.kv_heads},
                    {"q_len", q_len},
                    {"kv_len", kv_len},
                    {"head_dim", h.dim},
                    {"causal", 1}},
                   {}};
  if (window > 0) {
    shape.params.emplace_back("window", window);
    shape.sizes["window"] = window;
  }
  const double keys = window > 0        ? double(std::min(window, kv_len))
                      : q_len == kv_len ? double(kv_len) / 2
                                        : double(kv_len);
  shape.flops = 4 * double(batch * h.heads * q_len * h.dim) * keys;
  shape.bytes = 4.0 * double(batch * h.dim) * (double(q_len * h.heads) + double(kv_len * h.kv_heads));
  shape.quick = quick;
  return shape;
}

}  // namespace

std::vector<TimedShape> attention_shapes() {
  std::vector<TimedShape> list;
  const Heads models[] = {{32, 8, 128}, {32, 32, 128}, {8, 1, 128}, {16, 16, 64}};
  for (const Heads& h : models) {
    for (const std::int64_t tokens : {256, 512, 1024, 2048, 4096, 8192}) {
      for (const std::int64_t batch : {1, 4}) {
        if (tokens * batch > 8192) continue;
        const bool quick = h.kv_heads == 8 && batch == 1 && (tokens == 512 || tokens == 2048 || tokens == 8192);
        TimedShape shape = attention("attention_prefill", "attention_flash", batch, tokens, tokens, h, 0, quick);
        if (tokens <= 2048)
          shape.variants.emplace_back("attention_standard");  // its scores must fit the scratch memory
        list.push_back(shape);
      }
    }
    list.push_back(attention("attention_prefill", "attention_flash", 1, 8192, 8192, h, 1024, false));
  }
  for (const Heads& h : models) {
    for (const std::int64_t batch : {1, 8, 32, 128}) {
      for (const std::int64_t keys : {512, 2048, 8192, 32768}) {
        if (batch * keys * h.kv_heads * h.dim > (std::int64_t(1) << 30)) continue;
        const bool quick = h.kv_heads == 8 && (batch == 8 || batch == 32) && (keys == 2048 || keys == 8192);
        TimedShape shape = attention("attention_decode", "attention_decode", batch, 1, keys, h, 0, quick);
        // Enough CTAs for every SM of the largest GPU several times over, but no split shorter than four tiles.
        shape.sizes["splits"] =
            std::clamp<std::int64_t>(1024 / (batch * h.kv_heads), 1, std::max<std::int64_t>(1, keys / 256));
        list.push_back(shape);
      }
    }
  }
  return list;
}

}  // namespace lightcone::models::cuda
