// SPDX-License-Identifier: Apache-2.0
// Costs of the backward passes of attention, norms, elementwise operators and of what moves rows; of the loss and of
// the optimiser. The recurrences stand in cost_backward_recurrent.cpp.
#include <algorithm>
#include <array>

#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

constexpr std::uint64_t kStatisticBytes = 4;  // one fp32 value of a row
constexpr std::uint64_t kIndexBytes = 4;

std::uint64_t product(std::initializer_list<std::uint64_t> factors) { return checked_product("a gradient", factors); }
std::uint64_t sum(std::initializer_list<std::uint64_t> terms) { return checked_sum("a gradient", terms); }

// Gradients of parameters: written, and read before when they add to what is there.
void add_weight_gradient(Cost& c, Bytes gradient, bool accumulates) {
  c.written_bytes = total("weight gradient", {c.written_bytes, gradient});
  if (accumulates) c.read_bytes = total("weight gradient", {c.read_bytes, gradient});
}

// In enum order. With s = 1 / (1 + exp(-x)) (one addition; exp, reciprocal) the slope of silu is s (1 + x (1 - s)).
// silu_mul: both of g = silu(gate): up' = dy g, gate' = dy up s (1 + gate (1 - s)), g = gate s.
// gelu: slope h' + x / 2 (1 - t^2) (k + 3 c x^2) with h' = (1 + t) / 2 and the tanh t of the forward.
// sigmoid_mul: value' = dy s, gate' = value' value (1 - s). divide, r = 1 / b: a' = dy r, b' = -a' a r.
constexpr std::array<ElementwiseBackwardInfo, 19> kElementwiseBackward{{
    {ElementwiseKind::add, 0, 0, 0, 0, false},
    {ElementwiseKind::mul, 2, 2, 2, 0, false},
    {ElementwiseKind::scale, 0, 1, 1, 0, false},
    {ElementwiseKind::silu, 1, 1, 6, 2, false},
    {ElementwiseKind::silu_mul, 2, 2, 8, 2, false},
    {ElementwiseKind::gelu_mul, 2, 2, 18, 1, false},
    {ElementwiseKind::gelu, 1, 1, 15, 1, false},
    {ElementwiseKind::relu, 1, 1, 1, 0, true},
    {ElementwiseKind::relu_squared, 1, 1, 3, 0, false},
    {ElementwiseKind::sigmoid_mul, 2, 2, 5, 2, false},
    {ElementwiseKind::tanh, 1, 1, 3, 0, true},
    {ElementwiseKind::pow, 1, 1, 3, 2, false},
    {ElementwiseKind::divide, 2, 2, 3, 1, false},
    {ElementwiseKind::copy, 0, 0, 0, 0, false},
    {ElementwiseKind::exp, 1, 1, 1, 0, true},
    {ElementwiseKind::sin, 1, 1, 1, 1, false},
    {ElementwiseKind::sigmoid, 1, 1, 3, 0, true},
    {ElementwiseKind::elu_plus_one, 1, 1, 2, 0, true},  // slope 1 or the output, the lesser
    {ElementwiseKind::quantize, 0, 0, 0, 0, false},     // straight through
}};
static_assert([] {
  for (std::size_t i = 0; i < kElementwiseBackward.size(); ++i) {
    if (kElementwiseBackward[i].kind != static_cast<ElementwiseKind>(i)) return false;
  }
  return kElementwiseBackward.back().kind == ElementwiseKind::quantize;
}());

}  // namespace

const ElementwiseBackwardInfo& backward_info(ElementwiseKind kind) {
  return kElementwiseBackward.at(static_cast<std::size_t>(kind));
}

// Five products (Dao et al. 2022, algorithm 4): S = Q K^T again, dP = dO V^T, dV += P^T dO, dQ += dS K, dK += dS^T Q.
// Per pair: scaled score less the log-sum-exp (2), dP - D (1), times P (1), one exp. Per query: D = dO . O, and dQ
// scaled; per key dK scaled.
Cost cost_of(const Backward<Attention>& op) {
  const Attention& a = op.forward;
  (void)cost(Operator(a));  // sizes are positive, heads divide
  const std::uint64_t pairs = product({a.batch, a.heads, attended_pairs(a.q_len, a.kv_len, a.causal, a.window)});
  const std::uint64_t rows = product({a.batch, a.heads, a.q_len});
  const std::uint64_t keys = visible_keys(a);
  Cost c;
  c.matrix_flops = flops("attention FLOPs", {2, pairs, sum({product({3, a.head_dim}), product({2, a.v_dim()})})});
  c.vector_flops = Flops(sum({product({4, pairs}), product({rows, sum({product({2, a.v_dim()}), a.head_dim})}),
                              product({a.batch, keys, a.kv_heads, a.head_dim})}));
  c.special = pairs;
  const Bytes query = tensor_bytes("attention Q", a.activation, {rows, a.head_dim});
  const Bytes output = tensor_bytes("attention output", a.activation, {rows, a.v_dim()});
  const std::uint64_t kv_width = sum({a.head_dim, a.values_in_keys ? 0 : a.v_dim()});
  const Bytes keys_and_values = tensor_bytes("attention K and V", a.activation, {a.batch, keys, a.kv_heads, kv_width});
  c.read_bytes =
      total("attention inputs", {query, keys_and_values, output, output, Bytes(product({rows, kStatisticBytes}))});
  c.written_bytes = total("attention gradients", {query, keys_and_values});
  return c;
}

// With u the normalised row: RMS: u (1), g = dy w (1), mean of g u (2), r (g - u mean) (3), w' += dy u (2) = 9. Layer:
// u (2), g (1), means of g u (2) and of g (1), r (g - u mean - mean) (4), w' (2), b' (1) = 13. The gradient that
// arrives by the residual is added (1). Gated: x silu(z) again (3) and its two gradients (7).
Cost cost_of(const Backward<Norm>& op) {
  const Norm& n = op.forward;
  require_positive("norm", {{"rows", n.rows}, {"columns", n.columns}});
  const bool layer = n.kind == NormKind::layer;
  const std::uint64_t per_element = (layer ? 13u : 9u) + (n.residual ? 1u : 0u) + (n.gated ? 10u : 0u);
  const std::uint64_t elements = product({n.rows, n.columns});
  Cost c;
  c.vector_flops = flops("norm FLOPs", {per_element, elements});
  c.special = n.gated ? product({2, elements}) : 0;
  c.weight_bytes = tensor_bytes("norm weights", n.format, {n.columns});
  const std::uint64_t read = 2u + (n.residual ? 1u : 0u) + (n.gated ? 1u : 0u);
  c.read_bytes = total("norm", {tensor_bytes("norm", n.format, {read, elements}),
                                Bytes(product({layer ? 2u : 1u, n.rows, kStatisticBytes}))});
  c.written_bytes = tensor_bytes("norm", n.format, {n.gated ? 2u : 1u, elements});
  add_weight_gradient(c, tensor_bytes("norm weights", op.weight_gradient, {layer ? 2u : 1u, n.columns}),
                      op.accumulates);
  return c;
}

// y (dy - sum of dy y).
Cost cost_of(const Backward<Softmax>& op) {
  const Softmax& s = op.forward;
  require_positive("softmax", {{"rows", s.rows}, {"columns", s.columns}});
  Cost c;
  c.vector_flops = flops("softmax FLOPs", {4, s.rows, s.columns});
  c.read_bytes = tensor_bytes("softmax", s.format, {2, s.rows, s.columns});
  c.written_bytes = tensor_bytes("softmax", s.format, {s.rows, s.columns});
  return c;
}

Cost cost_of(const Backward<Elementwise>& op) {
  const Elementwise& e = op.forward;
  require_positive("elementwise", {{"elements", e.elements}});
  const ElementwiseBackwardInfo& kind = backward_info(e.kind);
  if (kind.gradients == 0) {
    throw ConfigError(fmt::format("elementwise {}: its gradient passes through unchanged", name(e.kind)));
  }
  Cost c;
  c.vector_flops = flops("elementwise FLOPs", {kind.flops, e.elements});
  c.special = product({kind.special, e.elements});
  c.read_bytes = total("elementwise", {tensor_bytes("elementwise", e.input, {kind.saved, e.elements}),
                                       tensor_bytes("elementwise", e.output, {e.elements})});
  c.written_bytes = tensor_bytes("elementwise", e.input, {kind.gradients, e.elements});
  return c;
}

// Unless it adds to a table that is there, the gradient of the whole table is cleared first. Learned positions: the
// sequences of a batch add into the same rows; counted as if every token had a row of its own.
Cost cost_of(const Backward<EmbeddingGather>& op) {
  const EmbeddingGather& e = op.forward;
  require_positive("embedding", {{"tokens", e.tokens}, {"vocabulary", e.vocabulary}, {"columns", e.columns}});
  const std::uint64_t tables = e.positions ? 2 : 1;
  const Bytes rows = tensor_bytes("embedding rows", op.weight_gradient, {std::min(e.tokens, e.vocabulary), e.columns});
  const Bytes table = tensor_bytes("embedding table", op.weight_gradient, {e.vocabulary, e.columns});
  const Bytes positions =
      e.positions ? tensor_bytes("embedding rows", op.weight_gradient, {e.tokens, e.columns}) : Bytes();
  Cost c;
  c.vector_flops = flops("embedding FLOPs", {tables, e.tokens, e.columns});
  c.read_bytes = total("embedding gradient", {tensor_bytes("embedding", e.format, {e.tokens, e.columns}),
                                              Bytes(product({tables, e.tokens, kIndexBytes})), rows, positions});
  c.written_bytes = total("embedding gradient", {op.accumulates ? Bytes() : table, rows, positions});
  return c;
}

Cost cost_of(const Backward<TopK>& op) {
  const TopK& t = op.forward;
  require_positive("top_k", {{"rows", t.rows}, {"columns", t.columns}, {"k", t.k}});
  Cost c;
  c.read_bytes = total("top_k gradient", {tensor_bytes("top_k gradient", t.format, {t.rows, t.k}),
                                          Bytes(product({t.rows, t.k, kIndexBytes}))});
  c.written_bytes = tensor_bytes("top_k gradient", t.format, {t.rows, t.columns});
  return c;
}

Cost cost_of(const Backward<GatherRows>& op) {
  const GatherRows& g = op.forward;
  require_positive("gather_rows", {{"rows", g.rows}, {"source_rows", g.source_rows}, {"columns", g.columns}});
  const std::uint64_t sources = std::min(g.rows, g.source_rows);
  Cost c;
  c.vector_flops = flops("gather_rows FLOPs", {g.rows - sources, g.columns});
  c.read_bytes = total("gather_rows gradient", {tensor_bytes("gather_rows gradient", g.format, {g.rows, g.columns}),
                                                Bytes(product({g.rows, kIndexBytes}))});
  c.written_bytes = tensor_bytes("gather_rows gradient", g.format, {sources, g.columns});
  return c;
}

// row' = weight dout (1), weight' = dout . row (2).
Cost cost_of(const Backward<CombineRows>& op) {
  const CombineRows& r = op.forward;
  require_positive("combine_rows", {{"rows", r.rows}, {"parts", r.parts}, {"columns", r.columns}});
  const Bytes parts = tensor_bytes("combine_rows", r.format, {r.fetched(), r.columns});
  Cost c;
  c.vector_flops = flops("combine_rows FLOPs", {3, r.fetched(), r.columns});
  c.read_bytes = total("combine_rows gradient", {tensor_bytes("combine_rows", r.format, {r.rows, r.columns}), parts,
                                                 Bytes(product({2, r.rows, r.parts, kIndexBytes}))});
  c.written_bytes = total("combine_rows gradient", {parts, Bytes(product({r.rows, r.parts, kStatisticBytes}))});
  return c;
}

// The gradient of the weights alone, of the experts that had a row; that of the rows is a GroupedGemm.
Cost cost_of(const Backward<GroupedGemm>& op) {
  const GroupedGemm& g = op.forward;
  const Cost forward = cost_of(g);
  const std::vector<std::uint64_t> rows = expert_rows(g);
  const auto touched =
      static_cast<std::uint64_t>(std::count_if(rows.begin(), rows.end(), [](std::uint64_t r) { return r > 0; }));
  Cost c;
  c.matrix_flops = forward.matrix_flops;
  c.read_bytes = total("grouped_gemm", {forward.read_bytes, forward.written_bytes});
  const Bytes gradient = tensor_bytes("grouped_gemm gradient", op.weight_gradient, {touched, g.n, g.k});
  if (op.accumulates) c.vector_flops = flops("grouped_gemm accumulation", {touched, g.n, g.k});
  add_weight_gradient(c, gradient, op.accumulates);
  return c;
}

Cost cost_of(const ColumnSum& op) {
  require_positive("column_sum", {{"rows", op.rows}, {"columns", op.columns}});
  Cost c;
  c.vector_flops = flops("column_sum FLOPs", {op.rows, op.columns});
  c.read_bytes = tensor_bytes("column_sum input", op.format, {op.rows, op.columns});
  add_weight_gradient(c, tensor_bytes("column_sum output", op.output, {op.columns}), op.accumulates);
  return c;
}

// Maximum, subtract it, sum, times the reciprocal of sum and rows; the label's own element apart. One exp each.
Cost cost_of(const CrossEntropy& op) {
  require_positive("cross_entropy", {{"rows", op.rows}, {"vocabulary", op.vocabulary}});
  const std::uint64_t elements = product({op.rows, op.vocabulary});
  Cost c;
  c.vector_flops = flops("cross_entropy FLOPs", {4, elements});
  c.special = sum({elements, product({2, op.rows})});  // logarithm and reciprocal of the sum
  const Bytes logits = tensor_bytes("logits", op.format, {elements});
  const Bytes per_row(product({op.rows, kIndexBytes}));  // labels in, losses out
  c.read_bytes = total("cross_entropy", {logits, per_row});
  c.written_bytes = total("cross_entropy", {logits, per_row});
  return c;
}

// m: 3, v: 4, both corrected for their start: 2, epsilon: 1, quotient: 1, decay of the weight: 1, step: 2; square root
// and reciprocal.
Cost cost_of(const AdamW& op) {
  require_positive("adamw", {{"parameters", op.parameters}});
  constexpr std::uint64_t kFlops = 14, kSpecial = 2, kMoments = 2;
  const Bytes weights = tensor_bytes("weights", op.weight, {op.parameters});
  const Bytes state =
      tensor_bytes("optimiser states", NumberFormat::fp32, {kMoments + (op.master ? 1u : 0u), op.parameters});
  Cost c;
  c.vector_flops = flops("adamw FLOPs", {kFlops, op.parameters});
  c.special = product({kSpecial, op.parameters});
  c.weight_bytes = op.master ? Bytes() : weights;
  c.read_bytes = total("adamw", {tensor_bytes("gradients", op.gradient, {op.parameters}), state});
  c.written_bytes = total("adamw", {state, weights});
  return c;
}

}  // namespace lightcone::models
