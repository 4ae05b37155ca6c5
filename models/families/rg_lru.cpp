// SPDX-License-Identifier: Apache-2.0
// The recurrent block of Griffin (De et al. 2024): two branches, one through GELU, the other through a short
// convolution and the real-gated linear recurrent unit h = a h + sqrt(1 - a^2) (i x), a = exp(-c softplus(L) r), whose
// gates i and r come from block-diagonal matrices; their product goes back to the stream. All projections have biases.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

ParameterParts parameters(const RgLruMixer& m, std::uint64_t d) {
  const std::uint64_t gates = size_product({2, m.width, m.width / m.blocks});
  // Biases of the branches and of the output, the convolution with bias, biases of the gates, L.
  return {size_sum({size_product({3, d, m.width}), gates}),
          size_sum({d, size_product({m.width, size_sum({2, m.conv_kernel, 1, 2, 1})})})};
}

SequenceState sequence_state(const RgLruMixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(tensor_bytes("the state", shape.state, {m.width}), m.width, m.conv_kernel, shape);
}

Section::Index build(LayerBuilder& b, const RgLruMixer& m, const std::vector<Section::Index>& inputs) {
  const Section::Index branches = b.linear("branches", b.d_model(), size_product({2, m.width}), true, inputs);
  const Section::Index conv =
      b.convolution("conv", CausalConv{.channels = m.width, .kernel = m.conv_kernel, .silu = false}, {branches});
  const Section::Index gates = b.add("gates",
                                     BatchedGemm{.batch = m.blocks,
                                                 .m = b.rows(),
                                                 .n = size_product({2, m.width / m.blocks}),
                                                 .k = m.width / m.blocks,
                                                 .activation = b.stream(),
                                                 .weight = b.stream(),
                                                 .output = b.stream(),
                                                 .weights_are_static = true},
                                     {conv});
  const Section::Index decay = b.elementwise("decay", ElementwiseKind::pow, m.width, {gates});
  const Section::Index input = b.elementwise("input_gate", ElementwiseKind::sigmoid_mul, m.width, {gates, conv});
  const Section::Index scaled = b.elementwise("input_scale", ElementwiseKind::mul, m.width, {input, decay});
  const Section::Index scanned = b.recurrence("scan", LinearScan{.channels = m.width}, {decay, scaled});
  const Section::Index joined = b.elementwise("join", ElementwiseKind::gelu_mul, m.width, {branches, scanned});
  return b.row_linear("output", m.width, b.d_model(), true, {joined});
}

void check_kind(const RgLruMixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("rg_lru");
  list.require("width", m.width);
  list.require("blocks", m.blocks);
  list.require("conv_kernel", m.conv_kernel);
  if (m.blocks != 0 && m.width % m.blocks != 0)
    list.add("blocks", fmt::format("{} does not divide width {}", m.blocks, m.width));
}

std::string words(const RgLruMixer& m) {
  return fmt::format("RG-LRU, {} channels, gates in {} blocks, convolution of {}", m.width, m.blocks, m.conv_kernel);
}

}  // namespace lightcone::models
