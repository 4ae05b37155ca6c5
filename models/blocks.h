// SPDX-License-Identifier: Apache-2.0
// The kinds of sequence mixers and of feed-forward parts that a layer is made of, with their sizes. Plain values,
// filled by models/load.h. A new kind is a struct here, a message in model.proto, its reader in load.cpp and one file
// in models/families that knows its parameters, state, operators and words.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "models/graph/operator.h"

namespace lightcone::models {

enum class Activation : std::uint8_t { silu, gelu, relu, relu_squared };

// ---- Mixers --------------------------------------------------------------------------------------------------

// Softmax attention with grouped queries: kv_heads == heads is multi-head, kv_heads == 1 is multi-query attention.
struct AttentionMixer {
  std::uint64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::uint64_t window = 0;  // tokens that a query sees, itself included; 0: all before it
  bool qkv_bias = false;
  bool output_bias = false;
  bool qk_norm = false;         // RMS norm over each head of Q and K, weights shared by the heads (Qwen3)
  std::uint64_t value_dim = 0;  // values of a head of V; 0: head_dim
  std::optional<std::uint64_t> rotary_dim = {};  // values of each head that positions turn; absent: all of them
  bool sinks = false;                            // a learned logit per head in the softmax's denominator (gpt-oss)
  bool output_gate = false;                      // sigmoid of a projection as wide as Q times the output (Qwen3-Next)
  [[nodiscard]] std::uint64_t v_dim() const { return value_dim == 0 ? head_dim : value_dim; }
};

// Multi-head latent attention (DeepSeek-V2, 2024): K and V of all heads are expanded from one latent vector per token,
// which is all that the cache keeps, beside one rotary key that the heads share.
struct MlaMixer {
  std::uint64_t heads = 0;
  std::uint64_t query_rank = 0;  // of the latent of Q; 0: Q is projected from the stream at once
  std::uint64_t kv_rank = 0;     // of the latent of K and V
  std::uint64_t nope_dim = 0;    // values of a head of Q and K without positions
  std::uint64_t rope_dim = 0;    // and with; 0: none has (Kimi-Linear)
  std::uint64_t value_dim = 0;
};

// Selective state space (Gu & Dao 2023): input-dependent step, B and C, diagonal A, one state vector per channel.
struct Mamba1Mixer {
  std::uint64_t inner = 0;  // channels, 2 d_model as a rule
  std::uint64_t state = 0;
  std::uint64_t dt_rank = 0;
  std::uint64_t conv_kernel = 4;
  bool inner_norms = false;  // RMS norms of the step, B and C (Jamba)
};

// State-space duality (Dao & Gu 2024): one scalar decay per head, B and C shared by the heads of a group.
struct Mamba2Mixer {
  std::uint64_t heads = 0, head_dim = 0, groups = 1, state = 0;
  std::uint64_t conv_kernel = 4;
  std::uint64_t chunk = 256;
  bool norm = true;  // gated RMS norm before the output projection
  [[nodiscard]] std::uint64_t inner() const { return heads * head_dim; }
};

using Mixer = std::variant<AttentionMixer, MlaMixer, Mamba1Mixer, Mamba2Mixer>;

// ---- Feed-forward parts --------------------------------------------------------------------------------------

// Layers that have a mixer only.
struct NoMlp {};

// Gated: down(act(gate(x)) * up(x)), three matrices. Plain: down(act(up(x))), two.
struct DenseMlp {
  bool gated = true;
  std::uint64_t d_ff = 0;
  Activation activation = Activation::silu;
  bool bias = false;
};

// Mixture of experts (Shazeer et al. 2017): a router sends each token to `top_k` experts of width d_ff, and all of them
// through the shared expert. Dropless: no capacity limit (Gale et al. 2022).
struct MoeMlp {
  std::uint64_t experts = 0, top_k = 0;
  std::uint64_t d_ff = 0;         // of one expert
  std::uint64_t shared_d_ff = 0;  // of all shared experts together; 0: none
  bool shared_gate = false;       // the shared expert's output times a sigmoid of the token (Qwen2-MoE, Qwen3-Next)
  bool router_bias = false;       // one value per expert (DeepSeek-V3's correction, gpt-oss)
  bool gated = true;
  Activation activation = Activation::silu;
  bool bias = false;     // of the experts' matrices (gpt-oss)
  ExpertLoad load = {};  // how tokens spread over the experts
};

using Mlp = std::variant<NoMlp, DenseMlp, MoeMlp>;

}  // namespace lightcone::models
