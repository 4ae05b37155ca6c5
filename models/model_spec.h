// SPDX-License-Identifier: Apache-2.0
// A language model as its published configuration describes it: embeddings, and blocks of equal layers in some
// pattern, each layer a sequence mixer and an MLP around a residual stream (pre-norm). Plain values; models/load.h
// fills them from files. Not described: initialisation, dropout, training recipe, rotary scaling (it changes angles,
// not cost).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "models/blocks.h"
#include "models/fault_list.h"
#include "models/graph/operator.h"

namespace lightcone::models {

// Rotary (Su et al. 2021) turns Q and K in place; learned positions (GPT) are a table added to the embeddings. None:
// recurrent layers see the order by themselves.
enum class PositionKind : std::uint8_t { rotary, learned, none };

// A kind of layer: norm, mixer, residual; norm, MLP, residual. Without an MLP the second half is absent.
struct Block {
  std::string name;
  std::uint64_t layers = 0;  // how many layers are of this kind
  Mixer mixer;
  Mlp mlp;
  bool shared = false;      // all layers of the block use the same weights (Zamba)
  bool post_norms = false;  // further norms of the mixer's and the MLP's output before the addition (Gemma-2)
};

// Which part of the model a ModelSpec stands for: that of one of `tensor` x `context` ranks (families/share.h), or, as
// in every model file, the whole.
struct Share {
  std::uint64_t tensor = 1;        // ranks that divide heads, channels, widths and the vocabulary
  bool sequence_parallel = false;  // between the layers' sums each tensor rank keeps a part of the tokens
  std::uint64_t expert = 1;        // ranks that divide the experts
  std::uint64_t context = 1;       // ranks that divide the tokens of every sequence
  // Attention of context ranks: each has some of the heads (all-to-all before and behind, Jacobs et al. 2023), or all
  // heads of its own queries, with K and V of all ranks gathered (Llama 3, 2024, section 3.3.2).
  bool context_by_heads = false;
};

struct ModelSpec {
  std::string name;
  std::uint64_t vocabulary = 0;
  std::uint64_t d_model = 0;
  bool tied_embeddings = false;  // the LM head is the embedding table
  NormKind norm = NormKind::rms;
  PositionKind position = PositionKind::rotary;
  bool embedding_norm = false;      // a norm of the embeddings before the first layer's own (RWKV)
  std::uint64_t max_positions = 0;  // rows of the learned table; with rotary positions the trained length, 0: not given
  std::vector<Block> blocks;
  // The kind of each layer, as indices of `blocks`, in order of execution; empty: blocks one after another.
  std::vector<std::size_t> pattern;
  std::uint64_t published_parameters = 0;  // as the source states it, rounded as there; 0: not published
  std::string source;                      // of the configuration and of the published count
  Share share;
};

// Every contradiction within the specification; empty when it is sound.
std::vector<SpecFault> faults(const ModelSpec& model);

// Throws ConfigError with every fault.
void check(const ModelSpec& model);

}  // namespace lightcone::models
