// SPDX-License-Identifier: Apache-2.0
// State spaces with constant coefficients. S4 (Gu, Goel & Re 2021) and S4D (Gu et al. 2022): a system per channel, run
// as a long convolution over a prompt and as a recurrence at decode; GELU and a gated projection behind it. Diagonal
// systems of all channels together: LRU (Orvieto et al. 2023) and S5 (Smith et al. 2022), a scan between two dense
// maps. H3 (Fu et al. 2022): a shift system on K and a diagonal one on its product with V, times Q.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

// A system of `states` complex states per channel: its filter and a convolution, or one step.
Index diagonal_systems(LayerBuilder& b, const std::string& name, std::uint64_t channels, std::uint64_t states,
                       bool cauchy, Index input) {
  const PhaseShape& shape = b.shape();
  if (shape.tokens == 1 && b.continues()) {
    return b.recurrence(
        name, LinearScan{.channels = channels, .complex_values = true, .constant = true, .states = states}, {input});
  }
  const Index filter = b.add(name + "_filter", StateFilter{channels, states, shape.tokens, cauchy}, {});
  return b.add(name, FftConv{shape.batch, shape.tokens, channels, shape.tokens, b.stream()}, {filter, input});
}

Bytes complex_state(const PhaseShape& shape, std::uint64_t channels, std::uint64_t states) {
  return tensor_bytes("the state", shape.state, {2, channels, states});
}

// out = a * sigmoid(b), both halves from one projection.
Index gated_linear(LayerBuilder& b, Index input) {
  const Index halves = b.linear("output", b.d_model(), size_product({2, b.d_model()}), true, {input});
  return b.elementwise("output_gate", ElementwiseKind::sigmoid_mul, b.d_model(), {halves});
}

}  // namespace

// ---- S4, S4D -------------------------------------------------------------------------------------------------------

// C, step and D of each channel; poles and B (S4: P besides) are shared by the channels (n_ssm = 1); the projection.
ParameterParts parameters(const S4Mixer& m, std::uint64_t d) {
  const std::uint64_t shared = size_product({m.diagonal ? 4u : 6u, m.states});
  return {size_product({2, d, d}), size_sum({size_product({d, size_sum({2 * m.states, 2})}), shared, 2 * d})};
}

SequenceState sequence_state(const S4Mixer& m, std::uint64_t d, std::uint64_t, const PhaseShape& shape) {
  return {{}, complex_state(shape, d, m.states)};
}

Index build(LayerBuilder& b, const S4Mixer& m, const std::vector<Index>& inputs) {
  const Index stream = b.elementwise("by_channel", ElementwiseKind::copy, b.d_model(), inputs);
  const Index mixed = diagonal_systems(b, m.diagonal ? "s4d" : "s4", b.d_model(), m.states, !m.diagonal, stream);
  return gated_linear(b, b.elementwise("gelu", ElementwiseKind::gelu, b.d_model(), {mixed}));
}

void check_kind(const S4Mixer& m, const FaultList& block, const ModelSpec&) {
  block.inside("s4").require("states", m.states);
}

std::string words(const S4Mixer& m) {
  return fmt::format("{}, {} complex states per channel", m.diagonal ? "S4D" : "S4", m.states);
}

// ---- LRU, S5 -------------------------------------------------------------------------------------------------------

// B and C complex, poles and steps; D; the projection of the gate.
ParameterParts parameters(const DiagonalMixer& m, std::uint64_t d) {
  return {size_sum({size_product({4, m.states, d}), size_product({m.half_gate ? 1u : 2u, d, d})}),
          size_sum({size_product({3, m.states}), d, m.half_gate ? d : 2 * d})};
}

SequenceState sequence_state(const DiagonalMixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return {{}, complex_state(shape, 1, m.states)};
}

Index build(LayerBuilder& b, const DiagonalMixer& m, const std::vector<Index>& inputs) {
  const std::uint64_t d = b.d_model(), parts = size_product({2, m.states});
  const Index in = b.linear("b_x", d, parts, false, inputs);
  const Index states =
      b.recurrence("scan", LinearScan{.channels = m.states, .complex_values = true, .constant = true}, {in});
  Index out = b.linear("c_h", parts, d, false, {states});
  out = b.elementwise("add_d_x", ElementwiseKind::add, d, {out});
  out = b.elementwise("gelu", ElementwiseKind::gelu, d, {out});
  if (!m.half_gate) return gated_linear(b, out);
  const Index gate = b.linear("gate", d, d, true, {out});  // S5: y sigmoid(W y)
  return b.elementwise("output_gate", ElementwiseKind::sigmoid_mul, d, {gate, out});
}

void check_kind(const DiagonalMixer& m, const FaultList& block, const ModelSpec&) {
  block.inside("diagonal").require("states", m.states);
}

std::string words(const DiagonalMixer& m) {
  return fmt::format("diagonal state space ({}), {} complex states", m.half_gate ? "S5" : "LRU", m.states);
}

// ---- H3 ------------------------------------------------------------------------------------------------------------

// Q, K, V and output with biases. The shift system's taps and D; C, step and D of each channel's diagonal system, poles
// and B shared.
ParameterParts parameters(const H3Mixer& m, std::uint64_t d) {
  const std::uint64_t systems =
      size_sum({size_product({d, size_sum({m.shift, 1, 2 * m.states, 2})}), size_product({4, m.states})});
  return {size_product({4, d, d}), size_sum({systems, size_product({4, d})})};
}

SequenceState sequence_state(const H3Mixer& m, std::uint64_t d, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(complex_state(shape, d, m.states), d, m.shift, shape);
}

Index build(LayerBuilder& b, const H3Mixer& m, const std::vector<Index>& inputs) {
  const PhaseShape& shape = b.shape();
  const std::uint64_t d = b.d_model();
  const Index qkv = b.linear("q_k_v", d, size_product({3, d}), true, inputs);
  Index key = qkv;
  if (shape.tokens == 1 && b.continues()) {
    key = b.convolution("shift", CausalConv{.channels = d, .kernel = m.shift, .bias = false, .silu = false}, {qkv});
  } else {
    key = b.add("shift", FftConv{shape.batch, shape.tokens, d, m.shift, b.stream()}, {qkv});
  }
  const Index product = b.elementwise("k_v", ElementwiseKind::mul, d, {key, qkv});
  const Index mixed = diagonal_systems(b, "diagonal", d, m.states, false, product);
  const Index out = b.elementwise("q_gate", ElementwiseKind::mul, d, {qkv, mixed});
  return b.linear("output", d, d, true, {out});
}

void check_kind(const H3Mixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("h3");
  list.require("states", m.states);
  list.require("shift", m.shift);
}

std::string words(const H3Mixer& m) {
  return fmt::format("H3, shift of {}, {} complex states per channel", m.shift, m.states);
}

}  // namespace lightcone::models
