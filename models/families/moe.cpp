// SPDX-License-Identifier: Apache-2.0
// Mixture of experts (Shazeer et al. 2017; Mixtral, DeepSeek-V2/V3, Qwen3-MoE, gpt-oss): router, choice of the experts,
// tokens put in the order of the experts, two grouped GEMMs, weighted sum; the shared expert beside it.
#include <fmt/core.h>

#include <algorithm>

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

// Where the experts are divided over ranks.
enum class Spread {
  none,         // this rank has all of them, or a part of each
  same_tokens,  // tensor ranks with the same tokens: each multiplies the rows of its own experts
  exchanged     // ranks with tokens of their own send them to the experts' ranks and get the results back
};
Spread spread_of(const Share& share) {
  if (share.expert == 1) return Spread::none;
  return share.tensor == 1 || share.sequence_parallel ? Spread::exchanged : Spread::same_tokens;
}

// What the rank's experts are given: choices of tokens. Routers spread tokens evenly in the mean, so that over all
// ranks as many rows come as go; each expert's own number is drawn as `load` says.
struct ExpertRows {
  std::uint64_t experts, rows, top_k;
};
ExpertRows own_rows(const MoeMlp& m, Spread spread, std::uint64_t pairs) {
  if (spread == Spread::none) return {m.experts, pairs, m.top_k};
  if (spread == Spread::exchanged) return {m.own_experts(), pairs, 1};
  const std::uint64_t mean = (size_product({pairs, m.own_experts()}) + m.experts - 1) / m.experts;
  return {m.own_experts(), mean, 1};
}

GroupedGemm grouped(const LayerBuilder& b, const MoeMlp& m, const ExpertRows& own, std::uint64_t n, std::uint64_t k) {
  return {.experts = own.experts,
          .rows = own.rows,
          .n = n,
          .k = k,
          .top_k = own.top_k,
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
  const std::uint64_t biases =
      m.bias ? size_product({m.own_experts(), size_sum({expert_up(m), expert_width(m, d)})}) : 0;
  return {size_sum({size_product({m.own_experts(), expert_matrices(m, expert_width(m, d))}), latent_matrices(m, d),
                    shared, size_product({d, m.experts})}),
          size_sum({biases, m.router_bias ? m.experts : 0, m.shared_gate ? d : 0})};
}

std::uint64_t active_matrices(const MoeMlp& m, std::uint64_t d) {
  const std::uint64_t shared = m.shared_d_ff == 0 ? 0 : parameters(shared_expert(m), d).matrices;
  return size_sum({size_product({std::min(m.top_k, m.own_experts()), expert_matrices(m, expert_width(m, d))}),
                   latent_matrices(m, d), shared, size_product({d, m.experts})});
}

namespace {

// Rows in the order of the experts, on the ranks that have these; and the way back. What goes over the fabric is as
// narrow as the experts read it.
Section::Index to_experts(LayerBuilder& b, const MoeMlp& m, Spread spread, const ExpertRows& own, std::uint64_t width,
                          std::vector<Section::Index> inputs) {
  const std::uint64_t pairs = size_product({b.rows(), m.top_k});
  if (spread != Spread::exchanged) {
    GatherRows order{own.rows, b.rows(), width, b.stream()};
    if (spread == Spread::same_tokens) order.ordered = pairs;
    const Section::Index sorted = b.add("dispatch", order, inputs, b.gradient_sum(width));
    return narrowed(b, "experts_up_quantize", size_product({own.rows, width}), sorted);
  }
  const Section::Index sorted = b.add("dispatch", GatherRows{pairs, b.rows(), width, b.stream()}, inputs);
  const Section::Index narrow = narrowed(b, "experts_up_quantize", size_product({pairs, width}), sorted);
  const NumberFormat format = b.shape().activations;
  const Section::Index sent = b.add("dispatch_exchange",
                                    Communication{CollectiveKind::all_to_all, ParallelAxis::expert, b.share().expert,
                                                  size_product({pairs, width}), format},
                                    {narrow});
  if (own.experts == 1) return sent;
  return b.add("dispatch_order", GatherRows{own.rows, own.rows, width, format}, {sent});  // of all senders by expert
}

Section::Index from_experts(LayerBuilder& b, const MoeMlp& m, Spread spread, const ExpertRows& own, std::uint64_t width,
                            Section::Index down) {
  CombineRows sum{b.rows(), m.top_k, width, b.stream()};
  if (spread == Spread::same_tokens) sum.present = own.rows;
  if (spread == Spread::exchanged) {
    if (own.experts > 1) down = b.add("combine_order", GatherRows{own.rows, own.rows, width, b.stream()}, {down});
    down = b.add("combine_exchange",
                 Communication{CollectiveKind::all_to_all, ParallelAxis::expert, b.share().expert,
                               size_product({own.rows, width}), b.stream()},
                 {down});
  }
  return b.add("combine", sum, {down});
}

// Router, experts and the weighted sum, of the tokens of `b`.
Section::Index routed(LayerBuilder& b, const MoeMlp& m, const std::vector<Section::Index>& inputs) {
  const Spread spread = spread_of(b.share());
  const std::uint64_t d = b.d_model(), width = expert_width(m, d);
  const ExpertRows own = own_rows(m, spread, size_product({b.rows(), m.top_k}));
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
  if (m.latent != 0) rows.push_back(b.whole_linear("to_latent", d, m.latent, false, inputs));
  const Section::Index sorted = to_experts(b, m, spread, own, width, rows);
  const Section::Index up =
      b.add(m.gated ? "experts_gate_up" : "experts_up", grouped(b, m, own, expert_up(m), width), {sorted});
  const ElementwiseKind kind = activation_kind(m.gated, m.activation);
  const std::uint64_t values = size_product({own.rows, m.d_ff});
  const Section::Index active =
      b.add("experts_" + std::string(name(kind)), Elementwise{kind, values, b.stream(), b.stream(), m.d_ff}, {up});
  const Section::Index down =
      b.add("experts_down", grouped(b, m, own, width, m.d_ff), {narrowed(b, "experts_down_quantize", values, active)});
  const Section::Index combined = from_experts(b, m, spread, own, width, down);
  // Linear: of each rank's part of the sum.
  return m.latent == 0 ? combined : b.whole_linear("from_latent", m.latent, d, false, {combined});
}

Section::Index shared(LayerBuilder& b, const MoeMlp& m, const std::vector<Section::Index>& inputs) {
  const Section::Index out = build(b, shared_expert(m), inputs);
  if (!m.shared_gate) return out;
  const Section::Index gate = b.whole_linear("shared_gate", b.d_model(), 1, false, inputs);
  return b.elementwise("shared_scale", ElementwiseKind::scale, b.d_model(), {out, gate});
}

}  // namespace

// Where tokens are exchanged the experts' sums are whole, of this rank's tokens; only the shared expert is divided over
// the tensor ranks. Else what a rank computes is a part of one sum, of all tokens.
Section::Index build(LayerBuilder& b, const MoeMlp& m, const std::vector<Section::Index>& inputs) {
  if (spread_of(b.share()) == Spread::exchanged) {
    LayerBuilder own = b.on_stream_rows();
    const Section::Index combined = routed(own, m, inputs);
    if (m.shared_d_ff == 0) return combined;
    const Section::Index beside = b.summed("shared_sum", shared(b, m, b.gathered("shared_tokens", inputs)));
    return own.elementwise("add_shared", ElementwiseKind::add, b.d_model(), {combined, beside});
  }
  const std::vector<Section::Index> tokens = b.gathered("mlp_tokens", inputs);
  Section::Index part = routed(b, m, tokens);
  if (m.shared_d_ff != 0) {
    part = b.elementwise("add_shared", ElementwiseKind::add, b.d_model(), {part, shared(b, m, tokens)});
  }
  return b.summed("mlp_sum", part);
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
