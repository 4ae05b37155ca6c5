// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/measure/op_shapes.h"

namespace lightcone::models::cuda {

namespace {

// Ops that measured tables do not know yet: named and sized as here.
TimedShape own(const char* op, const char* primitive, const char* dtype, const Sizes& sizes, double bytes, bool quick) {
  TimedShape shape{op, dtype, {}, primitive, sizes, {}, 0, bytes, quick, 0};
  for (const auto& [name, value] : sizes) shape.params.emplace_back(name, value);
  return shape;
}

}  // namespace

std::vector<TimedShape> selection_shapes() {
  std::vector<TimedShape> list;
  for (const std::int64_t length : {1024, 4096, 16384}) {
    const double l = double(length);
    list.push_back(own("s4_vandermonde", "s4_vandermonde", "fp32",
                       {{"channels", 1024}, {"length", length}, {"poles", 32}}, 4 * 1024 * (l + 160), length == 4096));
    list.back().serial_us = l / 4;  // 32 sines and cosines per value
    list.push_back(own("s4_fft_convolution", "s4_fft_convolution", "fp32",
                       {{"batch", 4}, {"channels", 1024}, {"length", length}}, 4 * 1024 * l * 9, length == 4096));
  }
  for (const std::int64_t tokens : {4096, 65536}) {
    const double t = double(tokens);
    list.push_back(own("lsh_hash_sort", "lsh_hash_sort", "fp32",
                       {{"tokens", tokens}, {"dim", 64}, {"rounds", 4}, {"buckets", 128}},
                       t * (64 * 4 + 4 * 8) + 4 * 64 * 64 * 4, tokens == 4096));
    list.back().serial_us = t / 50;  // fp32 products
  }
  list.push_back(own("kmeans_routing", "kmeans_routing", "fp32",
                     {{"tokens", 4096}, {"dim", 64}, {"clusters", 32}, {"window", 128}},
                     4 * (4096.0 * 64 + 32 * (64 + 128)), true));
  list.back().serial_us = 1000;
  for (const std::int64_t tokens : {128, 4096, 16384}) {
    for (const std::int64_t experts : {8, 64, 256}) {
      const std::int64_t k = experts == 8 ? 2 : 8;
      list.push_back(own("moe_router", "top_k_router", "fp32", {{"tokens", tokens}, {"experts", experts}, {"k", k}},
                         double(tokens) * double(4 * experts + 8 * k), tokens == 4096 && experts == 256));
    }
    for (const std::int64_t n : {4096, 7168}) {
      const Sizes sizes{{"m", tokens}, {"n", n}};
      const double count = double(tokens * n);
      list.push_back(own("quantize_fp8_block", "quantise_fp8", "bf16->fp8", sizes, count * (3 + 4.0 / 128), false));
      list.push_back(own("dequantize_fp8_block", "dequantise_fp8", "fp8->bf16", sizes, count * (3 + 4.0 / 128), false));
      list.push_back(own("quantize_int8_token", "quantise_int8", "bf16->int8", sizes, count * 3, false));
      if (tokens == 4096 && n == 7168) {
        for (std::size_t i = list.size() - 3; i < list.size(); ++i) list[i].quick = true;
      }
    }
  }
  // Sparse attention: 128 keys per head; tiles of 64 keys of which every fourth before the own one is visited, and 512
  // selected keys per query for the 16 heads of a group.
  for (const std::int64_t tokens : {2048, 8192}) {
    const Sizes heads{{"batch", 1},       {"heads", 16},     {"kv_heads", 16}, {"q_len", tokens},
                      {"kv_len", tokens}, {"head_dim", 128}, {"causal", 1},    {"every", 4}};
    TimedShape sparse = own("attention_block_sparse", "attention_block_sparse", "bf16", heads,
                            8.0 * double(tokens) * 16 * 128 + double(tokens * tokens) / 16384, tokens == 2048);
    sparse.flops = 4.0 * 16 * 128 * double(tokens * tokens) / 8;
    list.push_back(sparse);
  }
  TimedShape selected = own("attention_selected", "attention_selected", "bf16",
                            {{"batch", 1},
                             {"heads", 16},
                             {"kv_heads", 1},
                             {"q_len", 1024},
                             {"kv_len", 1024},
                             {"head_dim", 128},
                             {"causal", 1},
                             {"selected", 512}},
                            4.0 * 1024 * 128 * 17 + 4.0 * 1024 * 512, true);
  selected.flops = 4.0 * 16 * 128 * 1024 * 512;
  list.push_back(selected);
  return list;
}

}  // namespace lightcone::models::cuda
