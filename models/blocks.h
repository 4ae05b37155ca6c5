// SPDX-License-Identifier: Apache-2.0
// The kinds of sequence mixers and of feed-forward parts that a layer is made of, with their sizes. Plain values,
// filled by models/load.h. A new kind is a struct here, a message in model.proto, its reader in load.cpp and one file
// in models/families that knows its parameters, state, operators and words.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

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
  bool with_embeddings = false;  // reads the stream and the token's embedding side by side, 2 d_model wide (Zamba)
  [[nodiscard]] std::uint64_t v_dim() const { return value_dim == 0 ? head_dim : value_dim; }
};

// Multi-head latent attention (DeepSeek-V2, 2024): K and V of all heads are expanded from one latent vector per token,
// which is all that the cache keeps, beside one rotary key that the heads share.
struct MlaMixer {
  std::uint64_t heads = 0;
  std::uint64_t query_rank = 0;  // of the latent of Q; 0: Q is projected from the stream at once
  std::uint64_t kv_rank = 0;     // of the latent of K and V
  std::uint64_t nope_dim = 0;    // values of a head of Q and K without positions
  std::uint64_t rope_dim = 0;    // and of the key that the heads share; without rotary positions it is not turned
  std::uint64_t value_dim = 0;
  bool output_gate = false;  // sigmoid of a projection as wide as the heads' values times the output (Kimi-K3)
  // Lightning indexer (DeepSeek-V3.2): light heads score the whole context, and each token attends to the best ones.
  std::uint64_t index_heads = 0, index_dim = 0, index_top_k = 0;  // 0 heads: all tokens are attended to
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

// Linear attention: a state of key_dim x value_dim for each value head, by the rules of models/graph/operator.h. The
// rule says which gates a layer has:
//   sum, scalar_decay  none, or a constant per head (Katharopoulos et al. 2020; RetNet, Lightning)
//   vector_decay       a decay per key channel, from a projection of rank decay_rank with bias (GLA); with decay_rank 0
//                      the key is one minus the decay (HGRN2)
//   delta              a strength per value head (DeltaNet)
//   gated_delta        a strength and a decay per value head (Gated DeltaNet)
//   channel_delta      a strength per value head, a decay per key channel of rank decay_rank (KDA)
//   mlstm              an input gate and a forget gate per head, with bias (xLSTM)
enum class OutputGate : std::uint8_t { none, silu, sigmoid };
enum class OutputNorm : std::uint8_t { none, heads, width };
struct LinearMixer {
  LinearRule rule = LinearRule::sum;
  std::uint64_t heads = 0;        // of Q and K
  std::uint64_t value_heads = 0;  // a multiple of heads
  std::uint64_t kv_heads = 0;     // heads that K, V and decay are projected to, then repeated; 0: all
  std::uint64_t key_dim = 0, value_dim = 0;
  std::uint64_t conv_kernel = 0;  // short convolution of Q, K and V; 0: none
  bool silu = false;              // of Q, K and V where no convolution has it (Lightning)
  std::uint64_t decay_rank = 0;
  OutputGate gate = OutputGate::none;
  std::uint64_t gate_rank = 0;          // of the gate's projection; 0: full
  OutputNorm norm = OutputNorm::heads;  // RMS norm of each head's output with shared weights, or of all heads together
  bool rotary = false;                  // positions turn Q and K (RetNet)
  std::uint64_t chunk = 64;
  [[nodiscard]] std::uint64_t shared_by() const { return kv_heads == 0 ? 1 : heads / kv_heads; }
};

// RWKV time mixing. Ranks are those of the low-rank projections that make decay, rates and gates depend on the input.
// RWKV-7 (Peng et al. 2025); value_rank 0: no mix with the first layer's values, as in the first layer itself.
struct Rwkv7Mixer {
  std::uint64_t heads = 0, head_dim = 64;
  std::uint64_t decay_rank = 0, rate_rank = 0, value_rank = 0, gate_rank = 0;
  [[nodiscard]] std::uint64_t width() const { return heads * head_dim; }
};
// RWKV-6 (Peng et al. 2024): the mix with the token before depends on the input too.
struct Rwkv6Mixer {
  std::uint64_t heads = 0, head_dim = 64;
  std::uint64_t mix_rank = 32, decay_rank = 64;
  [[nodiscard]] std::uint64_t width() const { return heads * head_dim; }
};
// RWKV-4 (Peng et al. 2023): as wide as the stream, a decay per channel that does not depend on the input.
struct Rwkv4Mixer {};

// Real-gated linear recurrent unit with its branches (Griffin, De et al. 2024): gates from block-diagonal matrices.
struct RgLruMixer {
  std::uint64_t width = 0;
  std::uint64_t blocks = 0;  // of the gates' matrices
  std::uint64_t conv_kernel = 4;
};

// Gated short convolution (LFM2): out(C * conv(B * x)), where one projection gives B, C and x.
struct ShortConvMixer {
  std::uint64_t width = 0;
  std::uint64_t conv_kernel = 3;
};

// A mixer by itself; ParallelMixer gives several of them the same input and adds their results (Falcon-H1).
using SingleMixer = std::variant<AttentionMixer, MlaMixer, Mamba1Mixer, Mamba2Mixer, LinearMixer, Rwkv7Mixer,
                                 Rwkv6Mixer, Rwkv4Mixer, RgLruMixer, ShortConvMixer>;
struct ParallelMixer {
  std::vector<SingleMixer> parts;
};

using Mixer = std::variant<AttentionMixer, MlaMixer, Mamba1Mixer, Mamba2Mixer, LinearMixer, Rwkv7Mixer, Rwkv6Mixer,
                           Rwkv4Mixer, RgLruMixer, ShortConvMixer, ParallelMixer>;

// ---- Feed-forward parts --------------------------------------------------------------------------------------

// Layers that have a mixer only.
struct NoMlp {};

// Gated: down(act(gate(x)) * up(x)), three matrices. Plain: down(act(up(x))), two.
struct DenseMlp {
  bool gated = true;
  std::uint64_t d_ff = 0;
  Activation activation = Activation::silu;
  bool bias = false;
  // Weights that every layer has of its own even in a block of shared layers (Zamba2): a low-rank addition to the first
  // matrix, 0: none; a square matrix behind the last.
  std::uint64_t adapter_rank = 0;
  bool own_projection = false;
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
  bool bias = false;         // of the experts' matrices (gpt-oss)
  std::uint64_t latent = 0;  // width at which experts work, with a projection to it and back; 0: d_model (Nemotron-3)
  ExpertLoad load = {};      // how tokens spread over the experts
};

// RWKV channel mixing: value(relu(key(mix))^2), where mix is the token and the one before; with `receptance` times a
// sigmoid of a third projection (RWKV-4 and -6).
struct ChannelMix {
  std::uint64_t d_ff = 0;
  bool receptance = false;
};

using Mlp = std::variant<NoMlp, DenseMlp, MoeMlp, ChannelMix>;

}  // namespace lightcone::models
