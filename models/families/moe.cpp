// SPDX-License-Identifier: Apache-2.0
// Mixture of experts (Shazeer et al. 2017; Mixtral, DeepSeek-V2/V3, Qwen3-MoE, gpt-oss): router, choice of the experts,
// tokens put in the order of the experts, two grouped GEMMs, weighted sum; the shared expert beside it.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"

namespace lightcone::models {

namespace {

std::uint64_t expert_up(const MoeMlp& m) { return size_product({m.gated ? 2u : 1u, m.d_ff}); }
std::uint64_t expert_matrices(const MoeMlp& m, std::uint64_t d) {
  return size_product({d, size_sum({expert_up(m), m.d_ff})});
}
std::uint64_t expert_width(const MoeMlp& m, std::uint64_t d) { return m.latent == 0 ? d : m.latent; }
// The projections to the latent width and back.
std::uint64_t latent_matrices(const MoeMlp& m, std::uint64_t d) { return size_product({2, d, m.latent}); }
DenseMlp shared_expert(const MoeMlp& m) { return {m.gated, m.shared_d_ff, m.activation, false}; }

GroupedGemm grouped(const LayerBuilder& b, const MoeMlp& m, std::uint64_t n, std::uint64_t k) {
  return {.experts = m.experts,
          .rows = size_product({b.rows(), m.top_k}),
          .n = n,
          .k = k,
          .top_k = m.top_k,
          .load = m.load,
          .activation = b.shape().activations,
          .weight = b.shape().weights,
          .output = b.stream(),
          .bias = m.bias};
}

// Quantisation of the rows that a grouped GEMM reads, where the activations are narrow.
Section::Index narrowed(LayerBuilder& b, const std::string& name, std::uint64_t elements, Section::Index input) {
  if (b.shape().activations == b.stream()) return input;
  return b.add(name, Elementwise{ElementwiseKind::quantize, elements, b.stream(), b.shape().activations}, {input});
}

}  // namespace

ParameterParts parameters(const MoeMlp& m, std::uint64_t d) {
  const std::uint64_t shared = m.shared_d_ff == 0 ? 0 : parameters(shared_expert(m), d).matrices;
  const std::uint64_t biases = m.bias ? size_product({m.experts, size_sum({expert_up(m), expert_width(m, d)})}) : 0;
  return {size_sum({size_product({m.experts, expert_matrices(m, expert_width(m, d))}), latent_matrices(m, d), shared,
                    size_product({d, m.experts})}),
          size_sum({biases, m.router_bias ? m.experts : 0, m.shared_gate ? d : 0})};
}

std::uint64_t active_matrices(const MoeMlp& m, std::uint64_t d) {
  const std::uint64_t shared = m.shared_d_ff == 0 ? 0 : parameters(shared_expert(m), d).matrices;
  return size_sum({size_product({m.top_k, expert_matrices(m, expert_width(m, d))}), latent_matrices(m, d), shared,
                   size_product({d, m.experts})});
}

Section::Index build(LayerBuilder& b, const MoeMlp& m, const std::vector<Section::Index>& inputs) {
  const std::uint64_t d = b.d_model(), width = expert_width(m, d), pairs = size_product({b.rows(), m.top_k});
  // The router keeps 16 bits whatever the layers' weights are.
  const Section::Index scores = b.add("router",
                                      Gemm{.m = b.rows(),
                                           .n = m.experts,
                                           .k = d,
                                           .activation = b.stream(),
                                           .weight = b.stream(),
                                           .output = NumberFormat::fp32,
                                           .bias = m.router_bias},
                                      inputs);
  const Section::Index chosen = b.add("top_k", TopK{b.rows(), m.experts, m.top_k}, {scores});
  std::vector<Section::Index> rows{chosen};
  if (m.latent != 0) rows.push_back(b.linear("to_latent", d, m.latent, false, inputs));
  const Section::Index sorted = b.add("dispatch", GatherRows{pairs, b.rows(), width, b.stream()}, rows);
  const Section::Index up = b.add(m.gated ? "experts_gate_up" : "experts_up", grouped(b, m, expert_up(m), width),
                                  {narrowed(b, "experts_up_quantize", size_product({pairs, width}), sorted)});
  const ElementwiseKind kind = activation_kind(m.gated, m.activation);
  const Section::Index active =
      b.add("experts_" + std::string(name(kind)),
            Elementwise{kind, size_product({pairs, m.d_ff}), b.stream(), b.stream(), m.d_ff}, {up});
  const Section::Index down = b.add("experts_down", grouped(b, m, width, m.d_ff),
                                    {narrowed(b, "experts_down_quantize", size_product({pairs, m.d_ff}), active)});
  Section::Index combined = b.add("combine", CombineRows{b.rows(), m.top_k, width, b.stream()}, {down});
  if (m.latent != 0) combined = b.linear("from_latent", m.latent, d, false, {combined});
  if (m.shared_d_ff == 0) return combined;
  Section::Index shared = build(b, shared_expert(m), inputs);
  if (m.shared_gate) {
    const Section::Index gate = b.linear("shared_gate", d, 1, false, inputs);
    shared = b.elementwise("shared_scale", ElementwiseKind::scale, d, {shared, gate});
  }
  return b.elementwise("add_shared", ElementwiseKind::add, d, {combined, shared});
}

void check_kind(const MoeMlp& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("moe");
  list.require("experts", m.experts);
  list.require("top_k", m.top_k);
  list.require("d_ff", m.d_ff);
  if (m.top_k > m.experts) list.add("top_k", fmt::format("{} is above the {} experts", m.top_k, m.experts));
  if (m.shared_gate && m.shared_d_ff == 0) list.add("shared_gate", "is given, but shared_d_ff is not");
  check_activation(m.gated, m.activation, list);
}

std::string words(const MoeMlp& m) {
  std::string out = fmt::format("{} of {} experts of {}", m.top_k, m.experts, m.d_ff);
  if (m.latent != 0) out += fmt::format(" at a width of {}", m.latent);
  if (m.shared_d_ff != 0) out += fmt::format(" and a shared one of {}", m.shared_d_ff);
  return out;
}

}  // namespace lightcone::models
