// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/measure/op_shapes.h"

namespace lightcone::models::cuda {

namespace {

constexpr double kTokenUs = 1;  // of a kernel that walks over the tokens, a launch per token included

// Gated DeltaNet by the parameters of measured tables.
TimedShape delta_net(std::int64_t batch, std::int64_t tokens, std::int64_t k_heads, std::int64_t heads, bool quick) {
  constexpr std::int64_t kDim = 128;
  const double rows = double(batch * tokens);
  return {
      "linear_attention",
      "bf16",
      {{"phase", "context"},
       {"batch", batch},
       {"seq", tokens},
       {"d_model", 4096},
       {"d_conv", 4},
       {"k_heads", k_heads},
       {"head_k", kDim},
       {"v_heads", heads},
       {"head_v", kDim},
       {"variant", "gated_delta_net"}},
      "gated_delta_rule",
      {{"batch", batch}, {"tokens", tokens}, {"k_heads", k_heads}, {"heads", heads}, {"keys", kDim}, {"values", kDim}},
      {},
      rows * double(heads) * 8 * double(kDim * kDim),
      rows * (2 * double(kDim) * double(2 * k_heads + 2 * heads) + 8 * double(heads)) +
          4 * double(batch * heads * kDim * kDim),
      quick,
      kTokenUs * double(tokens) / 4};
}

TimedShape ssd(std::int64_t batch, std::int64_t tokens, std::int64_t heads, std::int64_t groups, bool quick) {
  constexpr std::int64_t kStates = 128, kDim = 64, kChunk = 64;
  const double rows = double(batch * tokens);
  return {
      "scan",
      "bf16",
      {{"phase", "context"},
       {"batch", batch},
       {"seq", tokens},
       {"d_model", heads * kDim / 2},
       {"d_conv", 4},
       {"nheads", heads},
       {"head_dim", kDim},
       {"d_state", kStates},
       {"n_groups", groups},
       {"chunk", kChunk},
       {"variant", "mamba2_ssd"}},
      "ssd_chunk_scan",
      {{"batch", batch}, {"tokens", tokens}, {"heads", heads}, {"groups", groups}, {"keys", kStates}, {"values", kDim}},
      {},
      rows * double(heads) * double(4 * kStates * kDim + 2 * kChunk * (kDim + kStates)),
      rows * (4 * double(groups * kStates + heads * kDim) + 4 * double(heads)) +
          4 * double(batch * heads * kStates * kDim),
      quick,
      kTokenUs * double(tokens) / 8};
}

TimedShape conv(std::int64_t batch, std::int64_t tokens, std::int64_t channels, bool quick) {
  return {"causal_conv1d",
          "bf16",
          {{"phase", "context"},
           {"batch", batch},
           {"seq", tokens},
           {"d_model", 4096},
           {"d_conv", 4},
           {"channels", channels},
           {"variant", "mamba2_ssd"}},
          "causal_conv1d",
          {{"batch", batch}, {"tokens", tokens}, {"channels", channels}, {"taps", 4}},
          {},
          0,
          4 * double(batch * tokens * channels) + 10 * double(channels),
          quick,
          0};
}

// Ops that measured tables do not know yet: named and sized as here.
TimedShape own(const char* op, const char* dtype, const Sizes& sizes, double bytes, double serial_us, bool quick) {
  TimedShape shape{op, dtype, {}, op, sizes, {}, 0, bytes, quick, serial_us};
  for (const auto& [name, value] : sizes) shape.params.emplace_back(name, value);
  return shape;
}

}  // namespace

std::vector<TimedShape> recurrent_shapes() {
  std::vector<TimedShape> list;
  for (const std::int64_t tokens : {512, 2048, 8192}) {
    for (const std::int64_t batch : {1, 4}) {
      const bool quick = batch == 1 && tokens == 2048;
      const double t = double(tokens), rows = double(batch) * t;
      list.push_back(delta_net(batch, tokens, 16, 32, quick));
      list.push_back(delta_net(batch, tokens, 16, 64, false));
      list.push_back(ssd(batch, tokens, 64, 1, quick));
      list.push_back(ssd(batch, tokens, 128, 8, false));
      list.push_back(conv(batch, tokens, 8192, quick));
      list.push_back(conv(batch, tokens, 4352, false));
      // RetNet's heads at a width of 4096: 16 of 128 keys and 256 values; of RWKV 64 heads of 64.
      list.push_back(own("linear_attention", "bf16",
                         {{"batch", batch}, {"tokens", tokens}, {"heads", 16}, {"keys", 128}, {"values", 256}},
                         rows * 16 * (2 * 768 + 4) + 4.0 * double(batch) * 16 * 128 * 256, t / 8, quick));
      list.back().op = "retention";
      const Sizes wkv{{"batch", batch}, {"tokens", tokens}, {"heads", 64}};
      list.push_back(own("rwkv6", "bf16", wkv, rows * 64 * 64 * 12 + 4.0 * double(batch) * 64 * 64 * 64, t, quick));
      list.push_back(own("rwkv7", "bf16", wkv, rows * 64 * 64 * 16 + 4.0 * double(batch) * 64 * 64 * 64, t, quick));
      list.push_back(own("rg_lru", "bf16", {{"batch", batch}, {"tokens", tokens}, {"width", 4096}, {"blocks", 16}},
                         rows * 4096 * 6 + 4096.0 * 256 * 4, t, quick));
      list.push_back(own("selective_scan", "bf16",
                         {{"batch", batch}, {"tokens", tokens}, {"width", 8192}, {"states", 16}},
                         rows * (8192 * 10 + 64) + 8192.0 * 16 * 4 * (1 + double(batch)), t / 4, quick));
    }
  }
  for (const std::int64_t batch : {1, 16, 64}) {
    list.push_back(own("lstm", "bf16", {{"batch", batch}, {"tokens", 128}, {"width", 1024}, {"inputs", 1024}},
                       2.0 * 8 * 1024 * 1024 + double(batch) * 128 * 1024 * 6, 10 * 128, batch == 16));
  }
  return list;
}

}  // namespace lightcone::models::cuda
