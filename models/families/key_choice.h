// SPDX-License-Identifier: Apache-2.0
// What softmax attention does between its projections: which keys the queries see, how these are chosen, and which
// operators that takes. One overload per kind of choice (models/blocks.h); dense attention, heads of different spans
// and materialised scores stand in attention.cpp.
#pragma once

#include <string>
#include <vector>

#include "models/families/layer_kinds.h"

namespace lightcone::models {

// A layer under construction, its queries, keys and values in place.
struct AttentionParts {
  LayerBuilder& b;
  const AttentionMixer& a;
  const std::vector<Section::Index>& placed;  // Q, K and V, positions applied, K and V in the cache
  const std::vector<Section::Index>& stream;  // the normed stream, for what scores keys by other projections

  [[nodiscard]] const PhaseShape& shape() const { return b.shape(); }
  [[nodiscard]] std::uint64_t tokens() const { return b.shape().tokens; }
  [[nodiscard]] std::uint64_t length() const;  // of a sequence after the pass
  [[nodiscard]] bool decodes() const { return b.shape().tokens == 1 && b.continues(); }
  // Every key: causal unless the layer is bidirectional.
  [[nodiscard]] Attention dense() const;
  [[nodiscard]] SparseAttention sparse(const KeyPattern& keys) const;
  Section::Index add(const std::string& name, Operator op, const std::vector<Section::Index>& inputs) const {
    return b.add(name, std::move(op), inputs);
  }
};

// Values of K and V of one token in the cache.
std::uint64_t token_values(const AttentionMixer& a);

// From Q, K and V to the heads' outputs.
Section::Index attend(const AttentionParts& p, const AllKeys& c);
Section::Index attend(const AttentionParts& p, const SinkKeys& c);
Section::Index attend(const AttentionParts& p, const FixedKeys& c);
Section::Index attend(const AttentionParts& p, const StridedKeys& c);
Section::Index attend(const AttentionParts& p, const LongformerKeys& c);
Section::Index attend(const AttentionParts& p, const BigBirdKeys& c);
Section::Index attend(const AttentionParts& p, const NsaKeys& c);
Section::Index attend(const AttentionParts& p, const MobaKeys& c);
Section::Index attend(const AttentionParts& p, const IndexedKeys& c);
Section::Index attend(const AttentionParts& p, const QuestKeys& c);
Section::Index attend(const AttentionParts& p, const LshKeys& c);
Section::Index attend(const AttentionParts& p, const RoutedKeys& c);
Section::Index attend(const AttentionParts& p, const ClusterKeys& c);

// Parameters beyond those of the projections, of a layer of width d.
template <class Choice>
ParameterParts choice_parameters(const AttentionMixer&, const Choice&, std::uint64_t) {
  return {};
}
ParameterParts choice_parameters(const AttentionMixer& a, const LongformerKeys& c, std::uint64_t d);
ParameterParts choice_parameters(const AttentionMixer& a, const NsaKeys& c, std::uint64_t d);
ParameterParts choice_parameters(const AttentionMixer& a, const IndexedKeys& c, std::uint64_t d);
ParameterParts choice_parameters(const AttentionMixer& a, const RoutedKeys& c, std::uint64_t d);
ParameterParts choice_parameters(const AttentionMixer& a, const ClusterKeys& c, std::uint64_t d);

// Values that the cache of one sequence keeps after `length` tokens.
template <class Choice>
std::uint64_t kept_values(const AttentionMixer& a, const Choice&, std::uint64_t length) {
  return size_product({length, token_values(a)});
}
std::uint64_t kept_values(const AttentionMixer& a, const AllKeys& c, std::uint64_t length);
std::uint64_t kept_values(const AttentionMixer& a, const SinkKeys& c, std::uint64_t length);
std::uint64_t kept_values(const AttentionMixer& a, const NsaKeys& c, std::uint64_t length);
std::uint64_t kept_values(const AttentionMixer& a, const MobaKeys& c, std::uint64_t length);
std::uint64_t kept_values(const AttentionMixer& a, const IndexedKeys& c, std::uint64_t length);
std::uint64_t kept_values(const AttentionMixer& a, const QuestKeys& c, std::uint64_t length);

// Contradictions; `list` is that of the layer's attention.
void check_choice(const AttentionMixer& a, const AllKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const SinkKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const FixedKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const StridedKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const LongformerKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const BigBirdKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const NsaKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const MobaKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const IndexedKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const QuestKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const LshKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const RoutedKeys& c, const FaultList& list, const ModelSpec& model);
void check_choice(const AttentionMixer& a, const ClusterKeys& c, const FaultList& list, const ModelSpec& model);
// A choice of `blocks` blocks of `block` tokens in a model whose sequences have max_positions at most.
void check_blocks(const FaultList& list, const char* field, std::uint64_t blocks, std::uint64_t block,
                  const ModelSpec& model);
// Each query head has keys of its own.
void require_own_keys(const AttentionMixer& a, const FaultList& list, const char* kind);
void require_direction(const AttentionMixer& a, bool bidirectional, const FaultList& list, const char* kind);

std::string words(const AllKeys& c);
std::string words(const SinkKeys& c);
std::string words(const FixedKeys& c);
std::string words(const StridedKeys& c);
std::string words(const LongformerKeys& c);
std::string words(const BigBirdKeys& c);
std::string words(const NsaKeys& c);
std::string words(const MobaKeys& c);
std::string words(const IndexedKeys& c);
std::string words(const QuestKeys& c);
std::string words(const LshKeys& c);
std::string words(const RoutedKeys& c);
std::string words(const ClusterKeys& c);

}  // namespace lightcone::models
