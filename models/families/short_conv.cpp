// SPDX-License-Identifier: Apache-2.0
// Gated short convolution (LFM2, Liquid AI 2025): out(C * conv(B * x)), B, C and x from one projection; without B: the
// convolution layers of Based (Arora et al. 2024).
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

ParameterParts parameters(const ShortConvMixer& m, std::uint64_t d) {
  return {size_product({m.input_gate ? 4u : 3u, d, m.width}), size_product({m.width, m.conv_kernel})};
}

SequenceState sequence_state(const ShortConvMixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return {{}, convolution_state(m.width, m.conv_kernel, shape)};
}

Section::Index build(LayerBuilder& b, const ShortConvMixer& m, const std::vector<Section::Index>& inputs) {
  const Section::Index in =
      b.linear("in_proj", b.d_model(), size_product({m.input_gate ? 3u : 2u, m.width}), false, inputs);
  const Section::Index gated = m.input_gate ? b.elementwise("input_gate", ElementwiseKind::mul, m.width, {in}) : in;
  const Section::Index conv = b.convolution(
      "conv", CausalConv{.channels = m.width, .kernel = m.conv_kernel, .bias = false, .silu = false}, {gated});
  const Section::Index out = b.elementwise("output_gate", ElementwiseKind::mul, m.width, {in, conv});
  return b.row_linear("output", m.width, b.d_model(), false, {out});
}

void check_kind(const ShortConvMixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("short_conv");
  list.require("width", m.width);
  list.require("conv_kernel", m.conv_kernel);
}

std::string words(const ShortConvMixer& m) {
  return fmt::format("gated convolution of {}, {} channels", m.conv_kernel, m.width);
}

}  // namespace lightcone::models
