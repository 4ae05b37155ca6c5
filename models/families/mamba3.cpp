// SPDX-License-Identifier: Apache-2.0
// Mamba-3 with a single input per head (Lahoti et al. 2026; state-spaces/mamba, modules/mamba3.py): no convolution; B
// and C are normed and turned by angles summed over the tokens; a trapezoidal step, which adds the token before to a
// token's update. The step's two weights are one weight of the keys, but for the token itself, where the second is
// taken back (models/reference/mamba3.h): one chunked linear attention and two elementwise passes.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

std::uint64_t inner(const Mamba3Mixer& m) { return size_product({m.heads, m.head_dim}); }
std::uint64_t keys(const Mamba3Mixer& m) { return size_product({m.groups, m.state}); }
std::uint64_t angles(const Mamba3Mixer& m) { return keys(m) / 2; }
// Gate and input; B and C; step, rate and weight of each head; angles.
std::uint64_t in_width(const Mamba3Mixer& m) {
  return size_sum({size_product({2, inner(m)}), size_product({2, keys(m)}), size_product({3, m.heads}), angles(m)});
}

}  // namespace

// Norms and biases of B and C, bias of the step, D.
ParameterParts parameters(const Mamba3Mixer& m, std::uint64_t d) {
  return {size_product({d, size_sum({in_width(m), inner(m)})}),
          size_sum({size_product({2, m.state}), size_product({2, m.heads, m.state}), size_product({2, m.heads})})};
}

// Beside S the key and the value of the token before, and the angles.
SequenceState sequence_state(const Mamba3Mixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return {{},
          tensor_bytes("the state", shape.state,
                       {size_sum({size_product({inner(m), m.state}), keys(m), inner(m), angles(m)})})};
}

Index build(LayerBuilder& b, const Mamba3Mixer& m, const std::vector<Index>& inputs) {
  const PhaseShape& shape = b.shape();
  const Index in = b.linear("in_proj", b.d_model(), in_width(m), false, inputs);
  const Index normed = b.norm("b_c_norm", NormKind::rms, size_product({2, m.groups}), m.state, {in});
  const Index sums = b.recurrence("angle_sums", LinearScan{.channels = angles(m), .constant = true}, {in});
  const Index turned = b.add(
      "rotate", Rotary{b.rows(), m.groups, m.groups, m.state, m.state, false, b.stream(), shape.kv}, {normed, sums});
  const Index weighted = b.elementwise("key_weights", ElementwiseKind::mul, keys(m), {turned, in});
  Index mixed = b.recurrence("ssd",
                             LinearAttention{.rule = LinearRule::ssd,
                                             .heads = m.groups,
                                             .value_heads = m.heads,
                                             .key_dim = m.state,
                                             .value_dim = m.head_dim,
                                             .chunk = m.chunk},
                             {weighted, in});
  mixed = b.elementwise("own_token", ElementwiseKind::mul, inner(m), {in, weighted});
  mixed = b.elementwise("subtract_own", ElementwiseKind::add, inner(m), {mixed});
  mixed = b.elementwise("output_gate", ElementwiseKind::silu_mul, inner(m), {in, mixed});
  return b.row_linear("out_proj", inner(m), b.d_model(), false, {mixed});
}

void check_kind(const Mamba3Mixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("mamba3");
  list.require("heads", m.heads);
  list.require("head_dim", m.head_dim);
  list.require("groups", m.groups);
  list.require("state", m.state);
  list.require("chunk", m.chunk);
  if (m.groups != 0 && m.heads % m.groups != 0)
    list.add("groups", fmt::format("{} does not divide heads {}", m.groups, m.heads));
  if (m.state % 2 != 0) list.add("state", fmt::format("{} is odd: angles turn pairs of values", m.state));
}

std::string words(const Mamba3Mixer& m) {
  return fmt::format("Mamba-3, {} heads of {} with {} states, chunks of {}", m.heads, m.head_dim, m.state, m.chunk);
}

}  // namespace lightcone::models
