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

// Which keys softmax attention sees, where not all before the query or those of its window (models/graph/key_pattern.h,
// models/families/key_choice.h).
struct AllKeys {};
struct SinkKeys {  // the first tokens and the window (StreamingLLM)
  std::uint64_t sinks = 0;
};
struct FixedKeys {  // the own `stride` tokens and the last `summary` of each such block (Sparse Transformer)
  std::uint64_t stride = 0, summary = 0;
};
struct StridedKeys {  // half of the heads the last `stride` tokens, half every stride-th one (Sparse Transformer)
  std::uint64_t stride = 0;
};
struct LongformerKeys {  // tokens on each side; leading tokens that see and are seen by all, by projections of their
                         // own
  std::uint64_t one_sided = 0, global = 0;
};
struct BigBirdKeys {  // three blocks around the query, the first and the last, `random` further ones
  std::uint64_t block = 0, random = 0;
};
struct NsaKeys {  // compressed keys; `selected` blocks by their scores; a window
  std::uint64_t compress_block = 0, compress_stride = 0, block = 0, selected = 0, window = 0;
};
struct MobaKeys {  // top_k blocks by the means of their keys, the own one among them
  std::uint64_t block = 0, top_k = 0;
};
struct IndexedKeys {  // top_k blocks by index heads of their own, the own block among them (MiniMax-M3)
  std::uint64_t index_heads = 0, index_dim = 0, block = 0, top_k = 0;
};
struct QuestKeys {  // at decode top_pages pages of the cache by bounds of their keys
  std::uint64_t page = 0, top_pages = 0;
};
struct LshKeys {  // chunks of tokens sorted by a hash, in several rounds; Q and K are one (Reformer)
  std::uint64_t rounds = 0, bucket = 0;
};
struct RoutedKeys {  // the tokens nearest to each centroid (Routing Transformer)
  std::uint64_t clusters = 0;
};
struct ClusterKeys {  // segments of the tokens sorted by cluster (Cluster-Former)
  std::uint64_t clusters = 0, segment = 0;
};
using KeyChoice = std::variant<AllKeys, SinkKeys, FixedKeys, StridedKeys, LongformerKeys, BigBirdKeys, NsaKeys,
                               MobaKeys, IndexedKeys, QuestKeys, LshKeys, RoutedKeys, ClusterKeys>;

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
  KeyChoice choice = {};
  bool bidirectional = false;             // an encoder's: no mask of later tokens
  bool materialised = false;              // scores and probabilities go through memory (before FlashAttention)
  std::vector<std::uint64_t> spans = {};  // tokens that each head looks back (adaptive span); empty: all
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
  bool norm = true;              // gated RMS norm before the output projection
  bool norm_over_ranks = false;  // of a share whose group is on several ranks: they add up the sums of squares
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
// What Q and K go through before, value by value or head by head: elu(x) + 1 (Katharopoulos et al. 2020); 1, x and x
// x^T (Based); exponentials of random projections (Performer). The state has a row per feature.
enum class FeatureMap : std::uint8_t { none, elu, taylor, favor };
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
  FeatureMap features = FeatureMap::none;
  std::uint64_t projections = 0;  // of favor: features of a head
  bool normalised = false;        // divided by Q times the sum of the keys
  std::uint64_t chunk = 64;
  [[nodiscard]] std::uint64_t shared_by() const { return kv_heads == 0 ? 1 : heads / kv_heads; }
  [[nodiscard]] std::uint64_t state_rows() const {
    if (features == FeatureMap::taylor) return 1 + key_dim + key_dim * key_dim;
    return features == FeatureMap::favor ? projections : key_dim;
  }
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
// RWKV-5 (Peng et al. 2024): a constant decay per channel.
struct Rwkv5Mixer {
  std::uint64_t heads = 0, head_dim = 64;
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

// S4 and S4D: a state space of constant coefficients per channel of the stream, GELU, a gated projection.
struct S4Mixer {
  std::uint64_t states = 0;  // complex ones, half of the paper's N
  bool diagonal = false;     // S4D; else diagonal plus low rank
};

// LRU and S5: one diagonal system of complex states for all channels, between dense maps.
struct DiagonalMixer {
  std::uint64_t states = 0;
  bool half_gate = false;  // y sigmoid(W y) behind it (S5); else two halves of a projection (LRU)
};

// H3: a shift system on K, a diagonal system on its product with V, times Q.
struct H3Mixer {
  std::uint64_t states = 0;  // complex ones of each channel
  std::uint64_t shift = 0;   // taps of the shift system
};

// Hyena: order - 1 long convolutions with gates between; filters by a network of the positions.
struct HyenaMixer {
  std::uint64_t order = 2;
  std::uint64_t filter_width = 0, position_features = 0;
  std::uint64_t short_kernel = 3;
};

// LSTM and sLSTM: gates that read the last output through dense (sLSTM: block-diagonal) matrices.
struct LstmMixer {
  CellKind cell = CellKind::lstm;
  std::uint64_t width = 0, heads = 1;
};

// minGRU: gates of the input alone.
struct MinGruMixer {
  std::uint64_t width = 0;
};

// Mamba-3, one input per head.
struct Mamba3Mixer {
  std::uint64_t heads = 0, head_dim = 0, groups = 1, state = 0;
  std::uint64_t chunk = 64;
};

// Gated short convolution (LFM2): out(C * conv(B * x)), where one projection gives B, C and x; without the input gate
// out(C * conv(x)) (Based).
struct ShortConvMixer {
  std::uint64_t width = 0;
  std::uint64_t conv_kernel = 3;
  bool input_gate = true;
};

// Tokens over which the weights of a learned span fall to zero (Sukhbaatar et al. 2019).
inline constexpr std::uint64_t kSpanRamp = 32;

// A mixer by itself; ParallelMixer gives several of them the same input and adds their results (Falcon-H1).
using SingleMixer = std::variant<AttentionMixer, MlaMixer, Mamba1Mixer, Mamba2Mixer, LinearMixer, Rwkv7Mixer,
                                 Rwkv6Mixer, Rwkv4Mixer, RgLruMixer, ShortConvMixer, Rwkv5Mixer, S4Mixer, DiagonalMixer,
                                 H3Mixer, HyenaMixer, LstmMixer, MinGruMixer, Mamba3Mixer>;
struct ParallelMixer {
  std::vector<SingleMixer> parts;
};

using Mixer = std::variant<AttentionMixer, MlaMixer, Mamba1Mixer, Mamba2Mixer, LinearMixer, Rwkv7Mixer, Rwkv6Mixer,
                           Rwkv4Mixer, RgLruMixer, ShortConvMixer, Rwkv5Mixer, S4Mixer, DiagonalMixer, H3Mixer,
                           HyenaMixer, LstmMixer, MinGruMixer, Mamba3Mixer, ParallelMixer>;

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
  std::uint64_t local_experts = 0;  // of a share, on this rank; 0: all
  std::uint64_t d_ff = 0;           // of one expert
  std::uint64_t shared_d_ff = 0;    // of all shared experts together; 0: none
  bool shared_gate = false;         // the shared expert's output times a sigmoid of the token (Qwen2-MoE, Qwen3-Next)
  bool router_bias = false;         // one value per expert (DeepSeek-V3's correction, gpt-oss)
  bool gated = true;
  Activation activation = Activation::silu;
  bool bias = false;         // of the experts' matrices (gpt-oss)
  std::uint64_t latent = 0;  // width at which experts work, with a projection to it and back; 0: d_model (Nemotron-3)
  ExpertLoad load = {};      // how tokens spread over the experts
  [[nodiscard]] std::uint64_t own_experts() const { return local_experts == 0 ? experts : local_experts; }
};

// RWKV channel mixing: value(relu(key(mix))^2), where mix is the token and the one before; with `receptance` times a
// sigmoid of a third projection (RWKV-4 and -6).
struct ChannelMix {
  std::uint64_t d_ff = 0;
  bool receptance = false;
};

using Mlp = std::variant<NoMlp, DenseMlp, MoeMlp, ChannelMix>;

}  // namespace lightcone::models
