// SPDX-License-Identifier: Apache-2.0
// Decoder-only transformers with softmax attention and dense MLPs (GPT-2/3, Llama, Mistral, Qwen): parameters, memory
// and the operators of a prefill and of a decode step, fused as serving engines do on one GPU (one GEMM for Q, K and V,
// one for gate and up; the residual addition inside the norm). Sources: Vaswani et al. 2017, Brown et al. 2020,
// Touvron et al. 2023. Not described: gathering the last rows before the LM head, sampling, several GPUs.
#pragma once

#include <cstdint>

#include "models/graph/graph.h"
#include "models/model_spec.h"
#include "sim/base/number_format.h"
#include "sim/base/units.h"

namespace lightcone::models {

// What one pass computes: `batch` sequences of equal length, each with `tokens` new tokens on top of `context` tokens
// that the KV cache holds already.
struct PhaseShape {
  std::uint64_t batch = 1;
  std::uint64_t tokens = 1;                   // new tokens of each sequence: the prompt, or 1 in decode
  std::uint64_t context = 0;                  // of each sequence, before this pass
  NumberFormat weights = NumberFormat::bf16;  // matrices of the layers; tables, norms, biases and the LM head are bf16
                                              // unless the activations are wider
  NumberFormat activations = NumberFormat::bf16;  // inputs of the layers' GEMMs; below 16 bits they are quantised from
                                                  // bf16, which the residual stream keeps
  NumberFormat kv = NumberFormat::bf16;
};

// Exact number of parameters; tied tables count once.
std::uint64_t parameter_count(const ModelSpec& model);

// Memory of the parameters, in the formats of PhaseShape.
Bytes weight_bytes(const ModelSpec& model, NumberFormat weights, NumberFormat activations = NumberFormat::bf16);

// KV cache that one more token of a sequence takes, over all layers, while no window is full.
Bytes kv_bytes_per_token(const ModelSpec& model, NumberFormat kv);

// KV cache of one sequence of `length` tokens; layers with a window keep its tokens only.
Bytes kv_bytes(const ModelSpec& model, std::uint64_t length, NumberFormat kv);

// The operators of a pass over the prompts; of each sequence the LM head sees the last token only.
// Throws ConfigError for zero or too large sizes and for sequences longer than the learned positions.
Graph build_prefill(const ModelSpec& model, const PhaseShape& shape);

// The same for one new token of each sequence (`tokens` must be 1, `context` at least 1).
Graph build_decode(const ModelSpec& model, const PhaseShape& shape);

}  // namespace lightcone::models
