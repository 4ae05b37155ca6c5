// SPDX-License-Identifier: Apache-2.0
// What every kind of mixer and MLP can tell: its parameters, what it keeps per sequence, its operators, its faults, and
// itself in words. One file per kind implements its overloads; the visits in model_graph.cpp do not compile until all
// are there.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "models/blocks.h"
#include "models/families/layer_builder.h"
#include "models/fault_list.h"

namespace lightcone::models {

// Parameters of a layer: those of its matrices, which take the weights' format, and the vectors beside them.
struct ParameterParts {
  std::uint64_t matrices = 0, vectors = 0;
};

// What one layer keeps of one sequence between passes.
struct SequenceState {
  Bytes kv;         // grows with the length
  Bytes recurrent;  // does not
};

// The state of a short convolution, its last kernel - 1 inputs, and that of a layer that has a recurrence besides.
Bytes convolution_state(std::uint64_t channels, std::uint64_t kernel, const PhaseShape& shape);
SequenceState with_convolution(Bytes state, std::uint64_t channels, std::uint64_t kernel, const PhaseShape& shape);

// Sums and products of sizes, ConfigError on overflow.
std::uint64_t size_product(std::initializer_list<std::uint64_t> factors);
std::uint64_t size_sum(std::initializer_list<std::uint64_t> terms);

// Of one layer of width d.
ParameterParts parameters(const AttentionMixer& a, std::uint64_t d);
ParameterParts parameters(const MlaMixer& a, std::uint64_t d);
ParameterParts parameters(const Mamba1Mixer& m, std::uint64_t d);
ParameterParts parameters(const Mamba2Mixer& m, std::uint64_t d);
ParameterParts parameters(const LinearMixer& m, std::uint64_t d);
ParameterParts parameters(const Rwkv7Mixer& m, std::uint64_t d);
ParameterParts parameters(const Rwkv6Mixer& m, std::uint64_t d);
ParameterParts parameters(const Rwkv4Mixer& m, std::uint64_t d);
ParameterParts parameters(const RgLruMixer& m, std::uint64_t d);
ParameterParts parameters(const ShortConvMixer& m, std::uint64_t d);
ParameterParts parameters(const Rwkv5Mixer& m, std::uint64_t d);
ParameterParts parameters(const S4Mixer& m, std::uint64_t d);
ParameterParts parameters(const DiagonalMixer& m, std::uint64_t d);
ParameterParts parameters(const H3Mixer& m, std::uint64_t d);
ParameterParts parameters(const HyenaMixer& m, std::uint64_t d);
ParameterParts parameters(const LstmMixer& m, std::uint64_t d);
ParameterParts parameters(const MinGruMixer& m, std::uint64_t d);
ParameterParts parameters(const Mamba3Mixer& m, std::uint64_t d);
ParameterParts parameters(const ParallelMixer& m, std::uint64_t d);
ParameterParts parameters(const NoMlp& m, std::uint64_t d);
ParameterParts parameters(const DenseMlp& m, std::uint64_t d);
ParameterParts parameters(const MoeMlp& m, std::uint64_t d);
ParameterParts parameters(const ChannelMix& m, std::uint64_t d);

// Of those, the ones that each layer of a block of shared layers has of its own.
template <class Kind>
std::uint64_t own_matrices(const Kind&, std::uint64_t) {
  return 0;
}
std::uint64_t own_matrices(const DenseMlp& m, std::uint64_t d);

// Of those, the ones that one token passes through (all, but for experts).
std::uint64_t active_matrices(const NoMlp& m, std::uint64_t d);
std::uint64_t active_matrices(const DenseMlp& m, std::uint64_t d);
std::uint64_t active_matrices(const MoeMlp& m, std::uint64_t d);
std::uint64_t active_matrices(const ChannelMix& m, std::uint64_t d);

// After `length` tokens, of a layer of width d, in the formats of `shape`.
SequenceState sequence_state(const AttentionMixer& a, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const MlaMixer& a, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const Mamba1Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const Mamba2Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const LinearMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const Rwkv7Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const Rwkv6Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const Rwkv4Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const RgLruMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const ShortConvMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const Rwkv5Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const S4Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const DiagonalMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const H3Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const HyenaMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const LstmMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const MinGruMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const Mamba3Mixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);
SequenceState sequence_state(const ParallelMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape);

// What an MLP keeps of a sequence: the token before, of channel mixing.
inline Bytes sequence_state(const NoMlp&, std::uint64_t, const PhaseShape&) { return {}; }
inline Bytes sequence_state(const DenseMlp&, std::uint64_t, const PhaseShape&) { return {}; }
inline Bytes sequence_state(const MoeMlp&, std::uint64_t, const PhaseShape&) { return {}; }
Bytes sequence_state(const ChannelMix& m, std::uint64_t d, const PhaseShape& shape);

// Operators from the normed stream (the result of `inputs`) to what is added to it.
Section::Index build(LayerBuilder& b, const AttentionMixer& a, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const MlaMixer& a, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const Mamba1Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const Mamba2Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const LinearMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const Rwkv7Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const Rwkv6Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const Rwkv4Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const RgLruMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const ShortConvMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const Rwkv5Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const S4Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const DiagonalMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const H3Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const HyenaMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const LstmMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const MinGruMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const Mamba3Mixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const ParallelMixer& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const DenseMlp& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const MoeMlp& m, const std::vector<Section::Index>& inputs);
Section::Index build(LayerBuilder& b, const ChannelMix& m, const std::vector<Section::Index>& inputs);

// Contradictions; `block` is the list of the block that holds the kind.
void check_kind(const AttentionMixer& a, const FaultList& block, const ModelSpec& model);
void check_kind(const MlaMixer& a, const FaultList& block, const ModelSpec& model);
void check_kind(const Mamba1Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const Mamba2Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const LinearMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const Rwkv7Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const Rwkv6Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const Rwkv4Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const RgLruMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const ShortConvMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const Rwkv5Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const S4Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const DiagonalMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const H3Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const HyenaMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const LstmMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const MinGruMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const Mamba3Mixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const ParallelMixer& m, const FaultList& block, const ModelSpec& model);
void check_kind(const NoMlp& m, const FaultList& block, const ModelSpec& model);
void check_kind(const DenseMlp& m, const FaultList& block, const ModelSpec& model);
void check_kind(const MoeMlp& m, const FaultList& block, const ModelSpec& model);
void check_kind(const ChannelMix& m, const FaultList& block, const ModelSpec& model);

// The operator of an MLP's activation, and the fault of one that no kernel has.
ElementwiseKind activation_kind(bool gated, Activation activation);
void check_activation(bool gated, Activation activation, const FaultList& list);

// "attention, 32 heads of 128, 8 KV heads".
std::string words(const AttentionMixer& a);
std::string words(const MlaMixer& a);
std::string words(const Mamba1Mixer& m);
std::string words(const Mamba2Mixer& m);
std::string words(const LinearMixer& m);
std::string words(const Rwkv7Mixer& m);
std::string words(const Rwkv6Mixer& m);
std::string words(const Rwkv4Mixer& m);
std::string words(const RgLruMixer& m);
std::string words(const ShortConvMixer& m);
std::string words(const Rwkv5Mixer& m);
std::string words(const S4Mixer& m);
std::string words(const DiagonalMixer& m);
std::string words(const H3Mixer& m);
std::string words(const HyenaMixer& m);
std::string words(const LstmMixer& m);
std::string words(const MinGruMixer& m);
std::string words(const Mamba3Mixer& m);
std::string words(const ParallelMixer& m);
std::string words(const NoMlp& m);
std::string words(const DenseMlp& m);
std::string words(const MoeMlp& m);
std::string words(const ChannelMix& m);

}  // namespace lightcone::models
