// SPDX-License-Identifier: Apache-2.0
// RWKV time mixing and channel mixing: RWKV-4 (Peng et al. 2023), RWKV-6 (Peng et al. 2024) and RWKV-7 (Peng et al.
// 2025). Every part reads the token and the one before it, mixed per channel ("token shift"); the last token of the
// sequence is part of the state. Functions of the decay (exponentials) are part of the recurrence's kernel.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

constexpr std::uint64_t kShift = 2;  // taps of a token shift: the token and the one before

// `filters` mixes of each token with the one before.
Index token_shift(LayerBuilder& b, const std::string& name, std::uint64_t filters, const std::vector<Index>& inputs) {
  return b.convolution(
      name, CausalConv{.channels = b.d_model(), .kernel = kShift, .filters = filters, .bias = false, .silu = false},
      inputs);
}

// d -> rank -> width with tanh between, or none.
Index low_rank(LayerBuilder& b, const std::string& name, std::uint64_t rank, std::uint64_t width, bool tanh,
               Index input) {
  Index down = b.whole_linear(name + "_down", b.d_model(), rank, false, {input});
  if (tanh) down = b.elementwise(name + "_tanh", ElementwiseKind::tanh, rank, {down});
  return b.linear(name + "_up", rank, width, false, {down});
}

Index recurrence(LayerBuilder& b, LinearRule rule, std::uint64_t heads, std::uint64_t head_dim,
                 const std::vector<Index>& inputs) {
  return b.recurrence(
      "wkv",
      LinearAttention{
          .rule = rule, .heads = heads, .value_heads = heads, .key_dim = head_dim, .value_dim = head_dim, .chunk = 64},
      inputs);
}

void check_width(const FaultList& list, std::uint64_t heads, std::uint64_t head_dim, const ModelSpec& model) {
  list.require("heads", heads);
  list.require("head_dim", head_dim);
  if (size_product({heads, head_dim, model.share.tensor}) != model.d_model)
    list.add("heads", fmt::format("{} heads of {} are not as wide as d_model {}", heads, head_dim, model.d_model));
}

}  // namespace

// ---- RWKV-7 --------------------------------------------------------------------------------------------------

// Receptance, key, value, output; the low-rank pairs. Vectors: six mixes, biases of decay, rate and value mix, scales
// of the key, of its rate and of the bonus, the norm of the heads.
ParameterParts parameters(const Rwkv7Mixer& m, std::uint64_t d) {
  const std::uint64_t ranks = size_sum({m.decay_rank, m.rate_rank, m.value_rank, m.gate_rank});
  const std::uint64_t width = m.width(), vectors = (m.value_rank == 0 ? 2 : 3) + 3 + 2;
  return {size_sum({size_product({4, d, width}), size_product({ranks, size_sum({d, width})})}),
          size_sum({size_product({6, d}), size_product({vectors, width})})};
}

SequenceState sequence_state(const Rwkv7Mixer& m, std::uint64_t d, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(tensor_bytes("the state", shape.state, {m.heads, m.head_dim, m.head_dim}), d, kShift, shape);
}

Index build(LayerBuilder& b, const Rwkv7Mixer& m, const std::vector<Index>& inputs) {
  const std::uint64_t d = b.d_model(), width = m.width();
  const Index mixes = token_shift(b, "token_shift", 6, inputs);
  const Index receptance = b.linear("receptance", d, width, false, {mixes});
  Index key = b.linear("key", d, width, false, {mixes});
  Index value = b.linear("value", d, width, false, {mixes});
  const Index decay = low_rank(b, "decay", m.decay_rank, width, true, mixes);
  const Index rate = low_rank(b, "rate", m.rate_rank, width, false, mixes);
  const Index gate = low_rank(b, "gate", m.gate_rank, width, true, mixes);
  if (m.value_rank != 0) {
    const Index share = low_rank(b, "value_mix", m.value_rank, width, false, mixes);
    value = b.elementwise("value_mix", ElementwiseKind::sigmoid_mul, width, {value, share});
  }
  const Index removed = b.norm("removal_key_norm", NormKind::rms, m.heads, m.head_dim, {key});
  key = b.elementwise("key_rate", ElementwiseKind::mul, width, {key, rate});
  Index mixed = recurrence(b, LinearRule::dplr, m.heads, m.head_dim, {receptance, key, value, decay, removed});
  mixed = b.norm("head_norm", NormKind::layer, m.heads, m.head_dim, {mixed});
  const Index bonus = b.elementwise("bonus", ElementwiseKind::mul, width, {receptance, key});
  mixed = b.elementwise("add_bonus", ElementwiseKind::add, width, {mixed, bonus});
  mixed = b.elementwise("output_gate", ElementwiseKind::mul, width, {mixed, gate});
  return b.row_linear("output", width, d, false, {mixed});
}

void check_kind(const Rwkv7Mixer& m, const FaultList& block, const ModelSpec& model) {
  const FaultList list = block.inside("rwkv7");
  check_width(list, m.heads, m.head_dim, model);
  list.require("decay_rank", m.decay_rank);
  list.require("rate_rank", m.rate_rank);
  list.require("gate_rank", m.gate_rank);
}

std::string words(const Rwkv7Mixer& m) {
  return fmt::format("RWKV-7, {} heads of {}{}", m.heads, m.head_dim,
                     m.value_rank == 0 ? ", no mix of values" : std::string());
}

// ---- RWKV-6 --------------------------------------------------------------------------------------------------

// Receptance, key, value, gate, output; five low-rank mixes and the decay's. Vectors: six mixes, decay, bonus, the
// norm.
ParameterParts parameters(const Rwkv6Mixer& m, std::uint64_t d) {
  const std::uint64_t width = m.width(), mixes = size_product({10, m.mix_rank, d});
  return {size_sum({size_product({5, d, width}), mixes, size_product({m.decay_rank, size_sum({d, width})})}),
          size_sum({size_product({6, d}), size_product({2 + 2, width})})};
}

SequenceState sequence_state(const Rwkv6Mixer& m, std::uint64_t d, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(tensor_bytes("the state", shape.state, {m.heads, m.head_dim, m.head_dim}), d, kShift, shape);
}

Index build(LayerBuilder& b, const Rwkv6Mixer& m, const std::vector<Index>& inputs) {
  const std::uint64_t d = b.d_model(), width = m.width(), five = size_product({5, d});
  const Index shifted = token_shift(b, "token_shift", 1, inputs);
  Index mixes = b.whole_linear("mix_down", d, size_product({5, m.mix_rank}), false, {shifted});
  mixes = b.elementwise("mix_tanh", ElementwiseKind::tanh, size_product({5, m.mix_rank}), {mixes});
  mixes = b.add("mix_up",
                BatchedGemm{.batch = 5,
                            .m = b.rows(),
                            .n = d,
                            .k = m.mix_rank,
                            .activation = b.stream(),
                            .weight = b.stream(),
                            .output = b.stream(),
                            .weights_are_static = true},
                {mixes});
  mixes = b.elementwise("mix", ElementwiseKind::mul, five, {mixes, shifted});
  const Index receptance = b.linear("receptance", d, width, false, {mixes});
  const Index key = b.linear("key", d, width, false, {mixes});
  const Index value = b.linear("value", d, width, false, {mixes});
  const Index gate = b.linear("gate", d, width, false, {mixes});
  const Index decay = low_rank(b, "decay", m.decay_rank, width, true, mixes);
  Index mixed = recurrence(b, LinearRule::vector_decay, m.heads, m.head_dim, {receptance, key, value, decay});
  mixed = b.norm("head_norm", NormKind::layer, m.heads, m.head_dim, {mixed});
  mixed = b.elementwise("output_gate", ElementwiseKind::silu_mul, width, {gate, mixed});
  return b.row_linear("output", width, d, false, {mixed});
}

void check_kind(const Rwkv6Mixer& m, const FaultList& block, const ModelSpec& model) {
  const FaultList list = block.inside("rwkv6");
  check_width(list, m.heads, m.head_dim, model);
  list.require("mix_rank", m.mix_rank);
  list.require("decay_rank", m.decay_rank);
}

std::string words(const Rwkv6Mixer& m) { return fmt::format("RWKV-6, {} heads of {}", m.heads, m.head_dim); }

// ---- RWKV-5 --------------------------------------------------------------------------------------------------

// Receptance, key, value, gate, output. Vectors: four mixes, decay, bonus, the norm.
ParameterParts parameters(const Rwkv5Mixer& m, std::uint64_t d) {
  return {size_product({5, d, m.width()}), size_sum({size_product({4, d}), size_product({2 + 2, m.width()})})};
}

SequenceState sequence_state(const Rwkv5Mixer& m, std::uint64_t d, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(tensor_bytes("the state", shape.state, {m.heads, m.head_dim, m.head_dim}), d, kShift, shape);
}

// A decay per channel that does not depend on the input costs what one per head does.
Index build(LayerBuilder& b, const Rwkv5Mixer& m, const std::vector<Index>& inputs) {
  const std::uint64_t d = b.d_model(), width = m.width();
  const Index mixes = token_shift(b, "token_shift", 4, inputs);
  const Index receptance = b.linear("receptance", d, width, false, {mixes});
  const Index key = b.linear("key", d, width, false, {mixes});
  const Index value = b.linear("value", d, width, false, {mixes});
  const Index gate = b.linear("gate", d, width, false, {mixes});
  Index mixed = recurrence(b, LinearRule::scalar_decay, m.heads, m.head_dim, {receptance, key, value});
  mixed = b.norm("head_norm", NormKind::layer, m.heads, m.head_dim, {mixed});
  mixed = b.elementwise("output_gate", ElementwiseKind::silu_mul, width, {gate, mixed});
  return b.row_linear("output", width, d, false, {mixed});
}

void check_kind(const Rwkv5Mixer& m, const FaultList& block, const ModelSpec& model) {
  check_width(block.inside("rwkv5"), m.heads, m.head_dim, model);
}

std::string words(const Rwkv5Mixer& m) { return fmt::format("RWKV-5, {} heads of {}", m.heads, m.head_dim); }

// ---- RWKV-4 --------------------------------------------------------------------------------------------------

// Receptance, key, value, output. Vectors: three mixes, decay, bonus.
ParameterParts parameters(const Rwkv4Mixer&, std::uint64_t d) {
  return {size_product({4, d, d}), size_product({5, d})};
}

// Numerator, denominator and the exponent that both are scaled by.
SequenceState sequence_state(const Rwkv4Mixer&, std::uint64_t d, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(tensor_bytes("the state", shape.state, {3, d}), d, kShift, shape);
}

// The weighted mean of the values so far: two scans with the same decay, then their quotient. The running exponent that
// keeps both in range is part of the kernel; its state is not counted among the bytes of the pass.
Index build(LayerBuilder& b, const Rwkv4Mixer&, const std::vector<Index>& inputs) {
  const std::uint64_t d = b.d_model();
  const Index mixes = token_shift(b, "token_shift", 3, inputs);
  const Index receptance = b.linear("receptance", d, d, false, {mixes});
  const Index key = b.linear("key", d, d, false, {mixes});
  const Index value = b.linear("value", d, d, false, {mixes});
  const Index weights = b.elementwise("key_exponential", ElementwiseKind::exp, d, {key});
  const Index weighted = b.elementwise("weighted_value", ElementwiseKind::mul, d, {weights, value});
  const Index sums =
      b.recurrence("wkv", LinearScan{.channels = size_product({2, d}), .constant = true}, {weights, weighted});
  const Index mean = b.elementwise("quotient", ElementwiseKind::divide, d, {sums});
  const Index gated = b.elementwise("output_gate", ElementwiseKind::sigmoid_mul, d, {receptance, mean});
  return b.linear("output", d, d, false, {gated});
}

void check_kind(const Rwkv4Mixer&, const FaultList&, const ModelSpec&) {}
std::string words(const Rwkv4Mixer&) { return "RWKV-4"; }

// ---- Channel mixing ------------------------------------------------------------------------------------------

ParameterParts parameters(const ChannelMix& m, std::uint64_t d) {
  return {size_sum({size_product({2, d, m.d_ff}), m.receptance ? size_product({d, d}) : 0}),
          size_product({m.receptance ? 2u : 1u, d})};
}
std::uint64_t active_matrices(const ChannelMix& m, std::uint64_t d) { return parameters(m, d).matrices; }

Bytes sequence_state(const ChannelMix&, std::uint64_t d, const PhaseShape& shape) {
  return convolution_state(d, kShift, shape);
}

Index build(LayerBuilder& b, const ChannelMix& m, const std::vector<Index>& inputs) {
  const std::uint64_t d = b.d_model();
  const Index mixes = token_shift(b, "channel_shift", m.receptance ? 2 : 1, inputs);
  const Index up = b.linear("channel_key", d, m.d_ff, false, {mixes});
  const Index active = b.elementwise("relu_squared", ElementwiseKind::relu_squared, m.d_ff, {up});
  const Index down = b.row_linear("channel_value", m.d_ff, d, false, {active});
  if (!m.receptance) return down;
  const Index receptance = b.whole_linear("channel_receptance", d, d, false, {mixes});
  return b.elementwise("channel_gate", ElementwiseKind::sigmoid_mul, d, {receptance, down});
}

void check_kind(const ChannelMix& m, const FaultList& block, const ModelSpec&) {
  block.inside("channel_mix").require("d_ff", m.d_ff);
}

std::string words(const ChannelMix& m) { return fmt::format("channel mixing of {}", m.d_ff); }

}  // namespace lightcone::models
