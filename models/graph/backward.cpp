// SPDX-License-Identifier: Apache-2.0
#include "models/graph/backward.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "models/graph/tensor_bytes.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::models {

namespace {

// ---- Gradients -----------------------------------------------------------------------------------------------

struct Rules {
  const std::string& name;
  const GradientOptions& options;
  std::vector<Node>& out;

  void add(const std::string& suffix, Operator op) const { out.push_back({name + suffix, std::move(op)}); }

  void operator()(const Gemm& g) const {
    const NumberFormat gradient = narrowed(g.activation, g.output, {g.m, g.n});
    Gemm input = g;
    input.n = g.k;
    input.k = g.n;
    input.activation = gradient;
    input.output = g.activation;
    input.bias = false;
    input.weight_transposed = true;
    add("_dgrad", input);
    Gemm weight = g;
    weight.m = g.n;
    weight.n = g.k;
    weight.k = g.m;
    weight.activation = gradient;
    weight.weight = g.activation;
    weight.output = options.weight_gradient;
    weight.weights_are_static = weight.bias = false;
    weight.activation_transposed = weight.weight_transposed = true;
    weight.accumulates = options.accumulates;
    add("_wgrad", weight);
    if (g.bias) bias(g.m, g.n, gradient);
  }

  // dA = dC B^T; dB = A^T dC, or of a transposed B: dB = dC^T A.
  void operator()(const BatchedGemm& g) const {
    if (g.activation_transposed) throw ConfigError("operator " + name + " (bmm): A transposed has no backward yet");
    const NumberFormat gradient = narrowed(g.activation, g.output, {g.batch, g.m, g.n});
    BatchedGemm left = g;
    left.n = g.k;
    left.k = g.n;
    left.activation = gradient;
    left.output = g.activation;
    left.weight_transposed = !g.weight_transposed;
    add("_dgrad", left);
    BatchedGemm right = g;
    right.m = g.weight_transposed ? g.n : g.k;
    right.n = g.weight_transposed ? g.k : g.n;
    right.k = g.m;
    right.activation = g.weight_transposed ? gradient : g.activation;
    right.weight = g.weight_transposed ? g.activation : gradient;
    right.output = g.weights_are_static ? options.weight_gradient : g.weight;
    right.activation_transposed = true;
    right.weight_transposed = false;
    right.accumulates = g.weights_are_static && options.accumulates;
    right.weights_are_static = false;
    add(g.weights_are_static ? "_wgrad" : "_dgrad_right", right);
  }

  void operator()(const GroupedGemm& g) const {
    const NumberFormat gradient = narrowed(g.activation, g.output, {g.rows, g.n});
    GroupedGemm input = g;
    input.n = g.k;
    input.k = g.n;
    input.activation = gradient;
    input.output = g.activation;
    input.bias = false;
    input.weight_transposed = true;
    input.source_rows = 0;
    add("_dgrad", input);
    if (g.source_rows != 0) add("_rows_backward", Backward<GatherRows>{{g.rows, g.source_rows, g.k, g.activation}});
    add("_wgrad", Backward<GroupedGemm>{g, options.weight_gradient, options.accumulates});
    if (g.bias) bias(g.rows, g.n, gradient);
  }

  void operator()(const Elementwise& e) const {
    if (backward_info(e.kind).gradients != 0) add("_backward", Backward<Elementwise>{e});
  }

  // The same rotation by the opposite angle; the cache has no gradient.
  void operator()(const Rotary& r) const {
    if (r.rotary_dim == 0) return;
    Rotary back = r;
    back.writes_kv_cache = false;
    add("_backward", back);
  }

  void operator()(const GatherRows& g) const {
    if (!g.order_only) add("_backward", Backward<GatherRows>{g});
  }

  // Logits were replaced by their gradient.
  void operator()(const CrossEntropy&) const {}

  // g of Megatron-LM: a sum over the ranks hands its gradient to each of them as it is. What was gathered gets the sum
  // of all ranks' gradients for the own part, what was scattered is gathered; messages go back where they came from.
  void operator()(const Communication& c) const {
    if (c.kind == CollectiveKind::all_reduce) return;
    Communication back = c;
    if (c.kind == CollectiveKind::all_gather) {
      add("_again", c);  // only the own part was saved
      back.kind = CollectiveKind::reduce_scatter;
    }
    if (c.kind == CollectiveKind::reduce_scatter) back.kind = CollectiveKind::all_gather;
    if (c.kind == CollectiveKind::broadcast) throw ConfigError("operator " + name + " (broadcast) has no backward yet");
    add("_backward", back);
  }

  template <class Forward, class = std::enable_if_t<std::is_constructible_v<Operator, Backward<Forward>>>>
  void operator()(const Forward& forward) const {
    add("_backward", Backward<Forward>{forward, options.weight_gradient, options.accumulates});
  }
  template <class Other, class... No>
  [[noreturn]] void operator()(const Other& other, const No&...) const {
    throw ConfigError("operator " + name + " (" + kind_name(Operator(other)) + ") has no backward yet");
  }

 private:
  // The format of the gradient that both products read. A result wider than the operands (logits of a router) is a
  // product in their format and a conversion; its backward converts the gradient first.
  [[nodiscard]] NumberFormat narrowed(NumberFormat operands, NumberFormat result,
                                      std::initializer_list<std::uint64_t> sizes) const {
    if (info(result).bits <= info(operands).bits) return result;
    add("_gradient_cast", Elementwise{ElementwiseKind::copy, checked_product("gradients", sizes), result, operands});
    return operands;
  }
  void bias(std::uint64_t rows, std::uint64_t columns, NumberFormat format) const {
    add("_bias_grad", ColumnSum{rows, columns, format, options.weight_gradient, options.accumulates});
  }
};

// ---- Tensors -------------------------------------------------------------------------------------------------

Bytes values(NumberFormat format, std::initializer_list<std::uint64_t> sizes) {
  return tensor_bytes("an activation", format, sizes);
}

struct ResultBytes {
  Bytes operator()(const Norm& n) const { return values(n.format, {n.rows, n.columns}); }
  // Q and K turned, V beside them.
  Bytes operator()(const Rotary& r) const {
    return values(r.activation, {r.tokens, checked_sum("heads", {r.heads, 2 * r.kv_heads}), r.head_dim});
  }
  template <class Op>
  Bytes operator()(const Op& op) const {
    return cost(Operator(op)).written_bytes;
  }
};

// What an operator saves: its inputs, its result, and what nothing else holds.
struct Saved {
  bool inputs = false, result = false;
  Bytes more;
};

constexpr std::uint64_t kStatistic = 4, kIndex = 4;  // bytes

struct SavedBy {
  Saved operator()(const Gemm&) const { return {true, false, {}}; }
  Saved operator()(const BatchedGemm&) const { return {true, false, {}}; }
  Saved operator()(const GroupedGemm&) const { return {true, false, {}}; }
  // Q, K and V are views of wider results, or turned in place; the log-sum-exp besides.
  Saved operator()(const Attention& a) const {
    const std::uint64_t statistics = checked_product("statistics", {a.batch, a.heads, a.q_len, kStatistic});
    return {false, true, Bytes(checked_sum("activations", {cost(Operator(a)).read_bytes.count(), statistics}))};
  }
  // The sum with the residual is the new stream, which the norm itself writes.
  Saved operator()(const Norm& n) const {
    const std::uint64_t each = n.kind == NormKind::layer ? 2 : 1;
    const Bytes statistics(checked_product("statistics", {n.rows, each, kStatistic}));
    if (!n.residual) return {true, false, statistics};
    return {false, false, values(n.format, {n.rows, n.columns}) + statistics};
  }
  Saved operator()(const Softmax&) const { return {false, true, {}}; }
  Saved operator()(const Elementwise& e) const {
    const ElementwiseBackwardInfo& kind = backward_info(e.kind);
    return {kind.saved > 0 && !kind.from_output, kind.saved > 0 && kind.from_output, {}};
  }
  Saved operator()(const EmbeddingGather& e) const {
    return {false, false, Bytes(checked_product("indices", {e.tokens, kIndex}))};
  }
  Saved operator()(const CausalConv&) const { return {true, false, {}}; }
  Saved operator()(const SelectiveScan& s) const {
    return {true, false, values(s.state_format, {scan_chunks(s), s.batch, s.channels, s.state})};
  }
  Saved operator()(const LinearAttention&) const { return {true, false, {}}; }
  Saved operator()(const LinearScan&) const { return {true, true, {}}; }
  Saved operator()(const TopK& t) const {
    return {false, false, Bytes(checked_product("indices", {t.rows, t.k, kIndex}))};
  }
  Saved operator()(const CombineRows&) const { return {true, false, {}}; }
  // The part of a gathered tensor is kept and gathered again (Korthikanti et al. 2022, section 4.2.2).
  Saved operator()(const Communication& c) const { return {c.kind == CollectiveKind::all_gather, false, {}}; }
  template <class Op>
  Saved operator()(const Op&) const {
    return {};
  }
};

Saved saved_by(const Operator& op) { return std::visit(SavedBy{}, op); }

bool is_gathered(const Operator& op) {
  const auto* communication = std::get_if<Communication>(&op);
  return communication != nullptr && communication->kind == CollectiveKind::all_gather;
}

bool is_cheap(const Operator& op) {
  return std::holds_alternative<Norm>(op) || std::holds_alternative<Elementwise>(op);
}

// Who reads what in a section.
class Readers {
 public:
  explicit Readers(const Section& section) : of_(section.size()) {
    for (std::size_t i = 0; i < section.size(); ++i) {
      const Operator& op = section.node(i).op;
      results_.push_back(result_bytes(op));
      const std::vector<Section::Index> inputs = section.inputs(i);
      shares_.push_back(Bytes(cost(op).read_bytes.count() / std::max<std::size_t>(inputs.size(), 1)));
      for (std::size_t place = 0; place < inputs.size(); ++place) {
        if (!is_residual_edge(op, place)) of_[inputs[place]].push_back(i);
      }
    }
  }

  [[nodiscard]] const std::vector<Section::Index>& of(Section::Index index) const { return of_[index]; }
  [[nodiscard]] bool last(Section::Index index) const { return of_[index].empty(); }

  [[nodiscard]] Bytes result(Section::Index index) const { return results_[index]; }
  // What `reader` takes of the result of `index`, at most all.
  [[nodiscard]] Bytes taken(Section::Index index, Section::Index reader) const {
    return std::min(results_[index], shares_[reader]);
  }

 private:
  // The stream that a norm adds to comes from the norm before it: not its normalised rows.
  static bool is_residual_edge(const Operator& op, std::size_t place) {
    const Norm* norm = std::get_if<Norm>(&op);
    return norm != nullptr && norm->residual && place > 0;
  }

  std::vector<std::vector<Section::Index>> of_;
  std::vector<Bytes> results_, shares_;  // of each operator; what it reads from each source
};

// The result is in memory when the backward needs it.
Bytes saved_result(const Section& section, const Readers& readers, Section::Index index) {
  if (is_gathered(section.node(index).op)) return {};
  const Bytes all = readers.result(index);
  if (saved_by(section.node(index).op).result || readers.last(index)) return all;
  std::uint64_t read = 0;
  for (const Section::Index reader : readers.of(index)) {
    if (saved_by(section.node(reader).op).inputs) {
      read = checked_sum("activations", {read, readers.taken(index, reader).count()});
    }
  }
  return Bytes(std::min(all.count(), read));
}

bool dropped(const Section& section, Section::Index index, Recomputation policy) {
  return policy == Recomputation::selective && is_cheap(section.node(index).op);
}

// Gradients of one result from all its readers, less one whole set.
Node gradient_sum(const Node& node, Bytes twice) {
  const NumberFormat format = NumberFormat::bf16;
  return {node.name + "_gradient_sum",
          Elementwise{ElementwiseKind::add, std::max<std::uint64_t>(1, twice.count() * 8 / info(format).bits), format,
                      format}};
}

}  // namespace

Bytes result_bytes(const Operator& op) { return std::visit(ResultBytes{}, op); }

std::vector<Node> backward_of(const Node& node, const GradientOptions& options) {
  std::vector<Node> out;
  std::visit(Rules{node.name, options, out}, node.op);
  if (node.input_gradient) out.push_back({node.name + "_gradient_reduce", *node.input_gradient});
  return out;
}

std::vector<Node> backward_of(const Section& section, const GradientOptions& options) {
  const Readers readers(section);
  std::vector<Node> out;
  for (std::size_t i = section.size(); i-- > 0;) {
    const Node& node = section.node(i);
    if (readers.of(i).size() > 1) {
      std::uint64_t taken = 0;
      for (const Section::Index reader : readers.of(i)) taken += readers.taken(i, reader).count();
      const std::uint64_t all = readers.result(i).count();
      if (taken > all) out.push_back(gradient_sum(node, Bytes(taken - all)));
    }
    for (Node& gradient : backward_of(node, options)) out.push_back(std::move(gradient));
  }
  return out;
}

std::vector<Node> recomputed(const Section& section, Recomputation policy) {
  std::vector<Node> out;
  if (policy == Recomputation::none) return out;
  const Readers readers(section);
  for (std::size_t i = 0; i < section.size(); ++i) {
    const bool again =
        policy == Recomputation::full || (dropped(section, i, policy) && saved_result(section, readers, i).count() > 0);
    if (!again) continue;
    Node node = section.node(i);
    node.name += "_again";
    // The stream is there: what is computed again is the norm of it.
    if (Norm* norm = std::get_if<Norm>(&node.op); norm != nullptr && policy == Recomputation::selective) {
      norm->residual = false;
    }
    out.push_back(std::move(node));
  }
  return out;
}

Bytes saved_bytes(const Section& section, Recomputation policy) {
  const Readers readers(section);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < section.size(); ++i) {
    const Bytes more = saved_by(section.node(i).op).more;
    const Bytes result = dropped(section, i, policy) ? Bytes() : saved_result(section, readers, i);
    sum = checked_sum("activations", {sum, more.count(), result.count()});
  }
  return Bytes(sum);
}

}  // namespace lightcone::models
