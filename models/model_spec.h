// SPDX-License-Identifier: Apache-2.0
// A language model as its published configuration describes it: embeddings, and blocks of equal layers, each layer a
// sequence mixer and an MLP around a residual stream (pre-norm). Plain values; models/load.h fills them from files.
// Not described: initialisation, dropout, training recipe, rotary scaling (it changes angles, not cost).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "models/graph/operator.h"

namespace lightcone::models {

// Rotary (Su et al. 2021) turns Q and K in place; learned positions (GPT) are a table added to the embeddings.
enum class PositionKind : std::uint8_t { rotary, learned };

enum class Activation : std::uint8_t { silu, gelu, relu };

// Softmax attention with grouped queries: kv_heads == heads is multi-head, kv_heads == 1 is multi-query attention.
struct AttentionMixer {
  std::uint64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::uint64_t window = 0;  // tokens that a query sees, itself included; 0: all before it
  bool qkv_bias = false;
  bool output_bias = false;
  bool qk_norm = false;  // RMS norm over each head of Q and K, weights shared by the heads (Qwen3)
};

// Gated: down(act(gate(x)) * up(x)), three matrices. Plain: down(act(up(x))), two.
struct DenseMlp {
  bool gated = true;
  std::uint64_t d_ff = 0;
  Activation activation = Activation::silu;
  bool bias = false;
};

// A new kind is a new member here, its message in model.proto and its file in models/families.
using Mixer = std::variant<AttentionMixer>;
using Mlp = std::variant<DenseMlp>;

struct Block {
  std::string name;
  std::uint64_t layers = 0;
  Mixer mixer;
  Mlp mlp;
};

struct ModelSpec {
  std::string name;
  std::uint64_t vocabulary = 0;
  std::uint64_t d_model = 0;
  bool tied_embeddings = false;  // the LM head is the embedding table
  NormKind norm = NormKind::rms;
  PositionKind position = PositionKind::rotary;
  std::uint64_t max_positions = 0;  // rows of the learned table; with rotary positions the trained length, 0: not given
  std::vector<Block> blocks;
  std::uint64_t published_parameters = 0;  // as the source states it, rounded as there; 0: not published
  std::string source;                      // of the configuration and of the published count
};

// What is wrong with one field, by the path that it has in a model file (`block[0].attention.kv_heads`).
struct SpecFault {
  std::string field;
  std::string message;
};

// Every contradiction within the specification; empty when it is sound.
std::vector<SpecFault> faults(const ModelSpec& model);

// Throws ConfigError with every fault.
void check(const ModelSpec& model);

}  // namespace lightcone::models
