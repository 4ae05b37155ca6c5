// SPDX-License-Identifier: Apache-2.0
// Mamba-2 (Dao & Gu 2024): one projection gives the gate, x, B, C and the step; short convolution of x, B and C; the
// state-space dual by chunks; gated RMS norm.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {
std::uint64_t convolved(const Mamba2Mixer& m) { return size_sum({m.inner(), size_product({2, m.groups, m.state})}); }
std::uint64_t in_width(const Mamba2Mixer& m) { return size_sum({m.inner(), convolved(m), m.heads}); }
}  // namespace

ParameterParts parameters(const Mamba2Mixer& m, std::uint64_t d) {
  const std::uint64_t inner = size_product({m.heads, m.head_dim});
  return {size_product({d, size_sum({in_width(m), inner})}),
          size_sum({size_product({convolved(m), size_sum({m.conv_kernel, 1})}),
                    size_product({3, m.heads}),  // A, D, bias of the step
                    m.norm ? inner : 0})};
}

SequenceState sequence_state(const Mamba2Mixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(tensor_bytes("the state", shape.state, {m.heads, m.head_dim, m.state}), convolved(m),
                          m.conv_kernel, shape);
}

Section::Index build(LayerBuilder& b, const Mamba2Mixer& m, const std::vector<Section::Index>& inputs) {
  const Section::Index in = b.linear("in_proj", b.d_model(), in_width(m), false, inputs);
  const Section::Index conv =
      b.convolution("conv", CausalConv{.channels = convolved(m), .kernel = m.conv_kernel}, {in});
  Section::Index mixed = b.recurrence("ssd",
                                      LinearAttention{.rule = LinearRule::ssd,
                                                      .heads = m.groups,
                                                      .value_heads = m.heads,
                                                      .key_dim = m.state,
                                                      .value_dim = m.head_dim,
                                                      .chunk = m.chunk},
                                      {conv});
  if (m.norm) {
    if (m.norm_over_ranks) mixed = b.summed_within("norm_sum", 1, NumberFormat::fp32, mixed);
    mixed = b.add("gated_norm", Norm{NormKind::rms, b.rows(), m.inner(), false, b.stream(), true}, {mixed, in});
  } else {
    mixed = b.elementwise("gate", ElementwiseKind::silu_mul, m.inner(), {mixed, in});
  }
  return b.row_linear("out_proj", m.inner(), b.d_model(), false, {mixed});
}

void check_kind(const Mamba2Mixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("mamba2");
  list.require("heads", m.heads);
  list.require("head_dim", m.head_dim);
  list.require("groups", m.groups);
  list.require("state", m.state);
  list.require("conv_kernel", m.conv_kernel);
  list.require("chunk", m.chunk);
  if (m.groups != 0 && m.heads % m.groups != 0)
    list.add("groups",
             fmt::format("{} does not divide heads {}: each group of B and C serves as many heads", m.groups, m.heads));
}

std::string words(const Mamba2Mixer& m) {
  return fmt::format("Mamba-2, {} heads of {} with {} states, {} groups, chunks of {}", m.heads, m.head_dim, m.state,
                     m.groups, m.chunk);
}

}  // namespace lightcone::models
