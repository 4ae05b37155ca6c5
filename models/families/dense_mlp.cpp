// SPDX-License-Identifier: Apache-2.0
// The dense feed-forward part: two matrices (Vaswani et al. 2017) or three with a gate (Shazeer 2020), gate and up in
// one GEMM.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"

namespace lightcone::models {

namespace {

std::uint64_t up_width(const DenseMlp& m) { return size_product({m.gated ? 2u : 1u, m.d_ff}); }

}  // namespace

ElementwiseKind activation_kind(bool gated, Activation activation) {
  if (gated) return activation == Activation::gelu ? ElementwiseKind::gelu_mul : ElementwiseKind::silu_mul;
  if (activation == Activation::relu_squared) return ElementwiseKind::relu_squared;
  return activation == Activation::gelu ? ElementwiseKind::gelu : ElementwiseKind::relu;
}

void check_activation(bool gated, Activation activation, const FaultList& list) {
  if (gated && (activation == Activation::relu || activation == Activation::relu_squared))
    list.add("activation", "a gated MLP with ReLU is not modelled; allowed: SILU, GELU");
  if (!gated && activation == Activation::silu)
    list.add("activation", "a plain MLP with SiLU is not modelled; allowed: GELU, RELU, RELU_SQUARED");
}

ParameterParts parameters(const NoMlp&, std::uint64_t) { return {}; }
std::uint64_t active_matrices(const NoMlp&, std::uint64_t) { return 0; }
void check_kind(const NoMlp&, const FaultList&, const ModelSpec&) {}
std::string words(const NoMlp&) { return "no MLP"; }

std::uint64_t own_matrices(const DenseMlp& m, std::uint64_t d) {
  return size_sum(
      {size_product({m.adapter_rank, size_sum({d, up_width(m)})}), m.own_projection ? size_product({d, d}) : 0});
}

ParameterParts parameters(const DenseMlp& m, std::uint64_t d) {
  return {size_sum({size_product({d, size_sum({up_width(m), m.d_ff})}), own_matrices(m, d)}),
          m.bias ? size_sum({up_width(m), d}) : 0};
}
std::uint64_t active_matrices(const DenseMlp& m, std::uint64_t d) { return parameters(m, d).matrices; }

Section::Index build(LayerBuilder& b, const DenseMlp& m, const std::vector<Section::Index>& inputs) {
  Section::Index up = b.linear(m.gated ? "gate_up" : "up", b.d_model(), up_width(m), m.bias, inputs);
  if (m.adapter_rank != 0) {
    const Section::Index down = b.whole_linear("adapter_down", b.d_model(), m.adapter_rank, false, inputs);
    const Section::Index added = b.linear("adapter_up", m.adapter_rank, up_width(m), false, {down});
    up = b.elementwise("add_adapter", ElementwiseKind::add, up_width(m), {up, added});
  }
  const ElementwiseKind kind = activation_kind(m.gated, m.activation);
  const Section::Index active = b.elementwise(std::string(name(kind)), kind, m.d_ff, {up});
  const Section::Index down = b.row_linear("down", m.d_ff, b.d_model(), m.bias, {active});
  // Linear: of each rank's part of the sum.
  return m.own_projection ? b.whole_linear("own_projection", b.d_model(), b.d_model(), false, {down}) : down;
}

void check_kind(const DenseMlp& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("dense_mlp");
  list.require("d_ff", m.d_ff);
  check_activation(m.gated, m.activation, list);
}

std::string words(const DenseMlp& m) {
  std::string out = fmt::format("{} MLP of {}", m.gated ? "gated" : "plain", m.d_ff);
  if (m.adapter_rank != 0) out += fmt::format(", adapters of rank {}", m.adapter_rank);
  return out;
}

}  // namespace lightcone::models
