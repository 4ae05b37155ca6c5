// SPDX-License-Identifier: Apache-2.0
// Mamba (Gu & Dao 2023): gated projection, short convolution, selective scan. The bias and softplus of the step are
// part of the scan's kernel, the gate too. Jamba adds RMS norms of the step, B and C.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {
std::uint64_t selected_width(const Mamba1Mixer& m) { return size_sum({m.dt_rank, size_product({2, m.state})}); }
}  // namespace

ParameterParts parameters(const Mamba1Mixer& m, std::uint64_t d) {
  const std::uint64_t matrices = size_sum(
      {size_product({3, d, m.inner}), size_product({m.inner, selected_width(m)}), size_product({m.dt_rank, m.inner})});
  // Convolution with bias, bias of the step, A, D.
  const std::uint64_t vectors = size_product({m.inner, size_sum({m.conv_kernel, 1, 1, m.state, 1})});
  return {matrices, size_sum({vectors, m.inner_norms ? selected_width(m) : 0})};
}

SequenceState sequence_state(const Mamba1Mixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return with_convolution(tensor_bytes("the state", shape.state, {m.inner, m.state}), m.inner, m.conv_kernel, shape);
}

Section::Index build(LayerBuilder& b, const Mamba1Mixer& m, const std::vector<Section::Index>& inputs) {
  const Section::Index in = b.linear("in_proj", b.d_model(), size_product({2, m.inner}), false, inputs);
  const Section::Index conv = b.convolution("conv", CausalConv{.channels = m.inner, .kernel = m.conv_kernel}, {in});
  Section::Index selected = b.row_linear("x_proj", m.inner, selected_width(m), false, {conv});
  selected = b.summed_within("x_proj_sum", selected_width(m), b.stream(), selected);
  std::vector<Section::Index> step_and_bc{selected};
  if (m.inner_norms) {
    step_and_bc = {b.norm("dt_norm", NormKind::rms, 1, m.dt_rank, {selected}),
                   b.norm("b_c_norm", NormKind::rms, 2, m.state, {selected})};
  }
  // Its gradient is part of that of x_proj_sum.
  const Section::Index step = b.row_linear("dt_proj", m.dt_rank, m.inner, false, {step_and_bc.front()});
  const Section::Index scanned =
      b.recurrence("scan", SelectiveScan{.channels = m.inner, .state = m.state}, {step, step_and_bc.back(), conv, in});
  return b.row_linear("out_proj", m.inner, b.d_model(), false, {scanned});
}

void check_kind(const Mamba1Mixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("mamba1");
  list.require("inner", m.inner);
  list.require("state", m.state);
  list.require("dt_rank", m.dt_rank);
  list.require("conv_kernel", m.conv_kernel);
}

std::string words(const Mamba1Mixer& m) {
  return fmt::format("Mamba-1, {} channels with {} states, convolution of {}", m.inner, m.state, m.conv_kernel);
}

}  // namespace lightcone::models
