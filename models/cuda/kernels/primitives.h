// SPDX-License-Identifier: Apache-2.0
// Every primitive that runs on a GPU, by name. A primitive is a function template over the run: HostRun (the CPU) or
// DeviceRun, for which the .cu files instantiate it. cases/ documents the tensors.
#pragma once

#include <string_view>
#include <vector>

#include "models/cuda/kernels/arguments.h"

namespace lightcone::models::cuda {

#define LIGHTCONE_PRIMITIVES(X) \
  X(gemm)                       \
  X(batched_gemm)               \
  X(grouped_gemm)               \
  X(attention_standard)         \
  X(attention_flash)            \
  X(attention_block_sparse)     \
  X(attention_selected)         \
  X(attention_decode)           \
  X(softmax)                    \
  X(rmsnorm)                    \
  X(layernorm)                  \
  X(linear_attention)           \
  X(gated_delta_rule)           \
  X(ssd_chunk_scan)             \
  X(rwkv6)                      \
  X(rwkv7)                      \
  X(rg_lru)                     \
  X(lstm)                       \
  X(selective_scan)             \
  X(causal_conv1d)              \
  X(s4_vandermonde)             \
  X(s4_fft_convolution)         \
  X(lsh_hash_sort)              \
  X(kmeans_routing)             \
  X(top_k_router)               \
  X(quantise_fp8)               \
  X(dequantise_fp8)             \
  X(quantise_int8)

#define LIGHTCONE_DECLARE(name) \
  template <class Run>          \
  void name(Run& run, const Arguments& args);
LIGHTCONE_PRIMITIVES(LIGHTCONE_DECLARE)
#undef LIGHTCONE_DECLARE

template <class Run>
struct Primitive {
  std::string_view name;
  void (*run)(Run&, const Arguments&);
};

template <class Run>
std::vector<Primitive<Run>> primitives() {
#define LIGHTCONE_ENTRY(name) {#name, &name<Run>},
  return {LIGHTCONE_PRIMITIVES(LIGHTCONE_ENTRY)};
#undef LIGHTCONE_ENTRY
}

// Primitives that only one architecture or a library has; they take the cases of another primitive.
struct Variant {
  std::string_view name, cases_of;
};
inline const std::vector<Variant>& variants() {
  static const std::vector<Variant> list{
      {"gemm_wgmma", "gemm"}, {"gemm_cublas", "gemm"}, {"batched_gemm_cublas", "batched_gemm"}};
  return list;
}

}  // namespace lightcone::models::cuda
