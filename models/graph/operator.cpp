// SPDX-License-Identifier: Apache-2.0
#include "models/graph/operator.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

// One row per elementwise kind, in enum order: the cost of one output element. Formulas with the operations counted:
// silu(x) = x / (1 + exp(-x)): add, multiply; exp, reciprocal.
// gelu(x) = h + h tanh(x (k + c x^2)), h = x / 2: 2 multiplies, 2 FMA, multiply less one shared = 7; tanh.
// sigmoid_mul: x / (1 + exp(-g)): add, multiply; exp, reciprocal.
// quantize: multiply by the scale, clamp from both sides.
constexpr std::array<ElementwiseInfo, 19> kElementwise{{
    {ElementwiseKind::add, "add", 2, 1, 0},
    {ElementwiseKind::mul, "mul", 2, 1, 0},
    {ElementwiseKind::scale, "scale", 1, 1, 0},
    {ElementwiseKind::silu, "silu", 1, 2, 2},
    {ElementwiseKind::silu_mul, "silu_mul", 2, 3, 2},
    {ElementwiseKind::gelu_mul, "gelu_mul", 2, 8, 1},
    {ElementwiseKind::gelu, "gelu", 1, 7, 1},
    {ElementwiseKind::relu, "relu", 1, 1, 0},
    {ElementwiseKind::relu_squared, "relu_squared", 1, 2, 0},
    {ElementwiseKind::sigmoid_mul, "sigmoid_mul", 2, 2, 2},
    {ElementwiseKind::tanh, "tanh", 1, 0, 1},
    {ElementwiseKind::pow, "pow", 1, 1, 2},  // exp2(e log2(x))
    {ElementwiseKind::divide, "divide", 2, 1, 1},
    {ElementwiseKind::copy, "copy", 1, 0, 0},
    {ElementwiseKind::exp, "exp", 1, 0, 1},
    {ElementwiseKind::sin, "sin", 1, 0, 1},
    {ElementwiseKind::sigmoid, "sigmoid", 1, 1, 2},
    {ElementwiseKind::elu_plus_one, "elu_plus_one", 1, 1, 1},
    {ElementwiseKind::quantize, "quantize", 1, 3, 0},
}};
static_assert([] {
  for (std::size_t i = 0; i < kElementwise.size(); ++i) {
    if (kElementwise[i].kind != static_cast<ElementwiseKind>(i)) return false;
  }
  return kElementwise.back().kind == ElementwiseKind::quantize;  // the last one of the enum
}());

// In enum order.
constexpr std::array<std::string_view, 9> kRules{"sum",         "scalar_decay",  "ssd",  "vector_decay", "delta",
                                                 "gated_delta", "channel_delta", "dplr", "mlstm"};

constexpr std::uint64_t kIndexBytes = 4;  // token ids and positions are 32-bit integers

// What the output holds is read and added to.
void add_to_output(Cost& c, std::initializer_list<std::uint64_t> sizes) {
  c.vector_flops = Flops(checked_sum("accumulation", {c.vector_flops.count(), checked_product("accumulation", sizes)}));
  c.read_bytes = total("accumulation", {c.read_bytes, c.written_bytes});
}

Cost cost_of(const Gemm& g) {
  require_positive("gemm", {{"m", g.m}, {"n", g.n}, {"k", g.k}});
  Cost c;
  c.matrix_flops = flops("gemm FLOPs", {2, g.m, g.n, g.k});
  const Bytes bias = g.bias ? tensor_bytes("gemm bias", g.output, {g.n}) : Bytes();
  const Bytes weights = total("gemm weights", {tensor_bytes("gemm weights", g.weight, {g.n, g.k}), bias});
  const Bytes inputs = tensor_bytes("gemm inputs", g.activation, {g.m, g.k});
  if (g.bias) c.vector_flops = flops("gemm bias FLOPs", {g.m, g.n});
  c.weight_bytes = g.weights_are_static ? weights : Bytes();
  c.read_bytes = g.weights_are_static ? inputs : total("gemm inputs", {inputs, weights});
  c.written_bytes = tensor_bytes("gemm output", g.output, {g.m, g.n});
  if (g.accumulates) add_to_output(c, {g.m, g.n});
  return c;
}

Cost cost_of(const BatchedGemm& g) {
  require_positive("bmm", {{"batch", g.batch}, {"m", g.m}, {"n", g.n}, {"k", g.k}});
  Cost c;
  c.matrix_flops = flops("bmm FLOPs", {2, g.batch, g.m, g.n, g.k});
  const Bytes inputs = tensor_bytes("bmm inputs", g.activation, {g.batch, g.m, g.k});
  const Bytes weights = tensor_bytes("bmm inputs", g.weight, {g.batch, g.k, g.n});
  c.weight_bytes = g.weights_are_static ? weights : Bytes();
  c.read_bytes = g.weights_are_static ? inputs : total("bmm inputs", {inputs, weights});
  c.written_bytes = tensor_bytes("bmm output", g.output, {g.batch, g.m, g.n});
  if (g.accumulates) add_to_output(c, {g.batch, g.m, g.n});
  return c;
}

// Softmax per pair: scale, running maximum, subtract it, sum; one exp. Per query and head: one reciprocal, and the
// output row multiplied by it. The block table of a paged cache (4 bytes a page) is not counted.
Cost cost_of(const Attention& a) {
  require_positive("attention", {{"batch", a.batch},
                                 {"heads", a.heads},
                                 {"kv_heads", a.kv_heads},
                                 {"q_len", a.q_len},
                                 {"kv_len", a.kv_len},
                                 {"head_dim", a.head_dim}});
  if (a.values_in_keys && a.v_dim() > a.head_dim) {
    throw ConfigError(fmt::format("attention: values of {} cannot lie in keys of {}", a.v_dim(), a.head_dim));
  }
  if (a.heads % a.kv_heads != 0) {
    throw ConfigError(fmt::format("attention: kv_heads {} does not divide heads {}", a.kv_heads, a.heads));
  }
  const std::uint64_t pairs = attended_pairs(a.q_len, a.kv_len, a.causal, a.window);
  const std::uint64_t all_pairs = checked_product("attention pairs", {a.batch, a.heads, pairs});
  const std::uint64_t rows = checked_product("attention rows", {a.batch, a.heads, a.q_len});
  Cost c;
  c.matrix_flops = flops("attention FLOPs", {2, all_pairs, checked_sum("attention head", {a.head_dim, a.v_dim()})});
  c.vector_flops = Flops(checked_sum("attention FLOPs", {checked_product("attention FLOPs", {4, all_pairs}),
                                                         checked_product("attention FLOPs", {rows, a.v_dim()})}));
  c.special = checked_sum("attention special functions", {all_pairs, rows});

  // K and V of this step come from the projection when the operator itself appends them, else from the cache.
  const std::uint64_t visible = visible_keys(a);
  const std::uint64_t fresh = a.writes_kv_cache ? std::min(a.q_len, visible) : 0;
  const Bytes query = tensor_bytes("attention Q", a.q_format(), {rows, a.head_dim});
  const Bytes output = tensor_bytes("attention output", a.o_format(), {rows, a.v_dim()});
  const std::uint64_t kv_width = checked_sum("attention head", {a.head_dim, a.values_in_keys ? 0 : a.v_dim()});
  const auto kv = [&](NumberFormat format, std::uint64_t keys) {
    return tensor_bytes("attention K and V", format, {a.batch, keys, a.kv_heads, kv_width});
  };
  c.read_bytes = total("attention inputs", {query, kv(a.kv, visible - fresh), kv(a.activation, fresh)});
  c.written_bytes = a.writes_kv_cache ? total("attention output", {output, kv(a.kv, a.q_len)}) : output;
  return c;
}

// RMS: square and sum (FMA), times 1/rms, times weight = 4. Layer: sum, subtract the mean, square and sum, times
// 1/deviation, times weight, plus bias = 7. The gate: silu and a product = 3.
Cost cost_of(const Norm& n) {
  require_positive("norm", {{"rows", n.rows}, {"columns", n.columns}});
  const bool layer = n.kind == NormKind::layer;
  const std::uint64_t per_element = (layer ? 7u : 4u) + (n.residual ? 1u : 0u) + (n.gated ? 3u : 0u);
  const std::uint64_t tensors = n.residual ? 2 : 1;
  Cost c;
  c.vector_flops = flops("norm FLOPs", {per_element, n.rows, n.columns});
  const std::uint64_t elements = checked_product("norm elements", {n.rows, n.columns});
  c.special = checked_sum("norm special functions", {n.rows, n.gated ? checked_product("norm", {2, elements}) : 0});
  c.weight_bytes = tensor_bytes("norm weights", n.format, {layer ? 2u : 1u, n.columns});
  c.read_bytes = tensor_bytes("norm input", n.format, {tensors, elements});
  c.written_bytes = c.read_bytes;
  if (n.gated) c.read_bytes = total("norm input", {c.read_bytes, tensor_bytes("norm gate", n.format, {elements})});
  return c;
}

Cost cost_of(const Softmax& s) {
  require_positive("softmax", {{"rows", s.rows}, {"columns", s.columns}});
  const std::uint64_t elements = checked_product("softmax elements", {s.rows, s.columns});
  Cost c;
  c.vector_flops = flops("softmax FLOPs", {4, elements});  // maximum, subtract it, sum, times the reciprocal
  c.special = checked_sum("softmax special functions", {elements, s.rows});
  c.read_bytes = tensor_bytes("softmax input", s.format, {elements});
  c.written_bytes = c.read_bytes;
  return c;
}

Cost cost_of(const Elementwise& e) {
  require_positive("elementwise", {{"elements", e.elements}});
  const ElementwiseInfo& kind = info(e.kind);
  Cost c;
  c.vector_flops = flops("elementwise FLOPs", {kind.flops, e.elements});
  c.special = checked_product("elementwise special functions", {kind.special, e.elements});
  c.read_bytes = tensor_bytes("elementwise input", e.input, {kind.inputs, e.elements});
  c.written_bytes = tensor_bytes("elementwise output", e.output, {e.elements});
  return c;
}

// Per rotated value: two products and a sum. The sine and cosine table row of each token (rotary_dim values together)
// is an input, not computed.
Cost cost_of(const Rotary& r) {
  require_positive("rotary",
                   {{"tokens", r.tokens}, {"heads", r.heads}, {"kv_heads", r.kv_heads}, {"head_dim", r.head_dim}});
  if (r.rotary_dim > r.head_dim || r.rotary_dim % 2 != 0) {
    throw ConfigError(
        fmt::format("rotary: rotary_dim {} must be even and at most head_dim {}", r.rotary_dim, r.head_dim));
  }
  if (r.rotary_dim == 0 && !r.writes_kv_cache) {
    throw ConfigError("rotary: rotary_dim is 0 and nothing is written to the KV cache: nothing to do");
  }
  const std::uint64_t all_heads = checked_sum("rotary heads", {r.heads, r.kv_heads});
  const std::uint64_t rotated = checked_product("rotary values", {r.tokens, all_heads, r.rotary_dim});
  const Bytes in_place = tensor_bytes("rotary values", r.activation, {rotated});
  const Bytes table = tensor_bytes("rotary table", r.activation, {r.tokens, r.rotary_dim});
  Cost c;
  c.vector_flops = flops("rotary FLOPs", {3, rotated});
  c.read_bytes = total("rotary input", {in_place, table});
  c.written_bytes = in_place;
  if (r.writes_kv_cache) {
    // K beyond the rotated part, and V whole, pass through to the cache.
    const std::uint64_t passed = 2 * r.head_dim - r.rotary_dim;
    c.read_bytes = total("rotary input",
                         {c.read_bytes, tensor_bytes("rotary K and V", r.activation, {r.tokens, r.kv_heads, passed})});
    c.written_bytes =
        total("rotary output",
              {c.written_bytes, tensor_bytes("KV cache append", r.kv, {2, r.tokens, r.kv_heads, r.head_dim})});
  }
  return c;
}

// A row is read once however often its token occurs, so at most the whole table.
Cost cost_of(const EmbeddingGather& e) {
  require_positive("embedding", {{"tokens", e.tokens}, {"vocabulary", e.vocabulary}, {"columns", e.columns}});
  const std::uint64_t tables = e.positions ? 2 : 1;
  const Bytes token_rows = tensor_bytes("embedding rows", e.format, {std::min(e.tokens, e.vocabulary), e.columns});
  const Bytes output = tensor_bytes("embedding output", e.format, {e.tokens, e.columns});
  Cost c;
  if (e.positions) c.vector_flops = flops("embedding FLOPs", {e.tokens, e.columns});
  c.weight_bytes = e.positions ? total("embedding rows", {token_rows, output}) : token_rows;
  c.read_bytes = Bytes(checked_product("embedding indices", {tables, e.tokens, kIndexBytes}));
  c.written_bytes = output;
  return c;
}

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

}  // namespace

std::uint64_t visible_keys(const Attention& a) {
  if (a.window == 0) return a.kv_len;
  if (!a.causal) return std::min(a.kv_len, a.window);
  const std::uint64_t rows = std::min(a.q_len, a.kv_len);
  return std::min(a.kv_len, checked_sum("attention window", {rows - 1, a.window}));
}

std::uint64_t attended_pairs(std::uint64_t q_len, std::uint64_t kv_len, bool causal, std::uint64_t window) {
  const std::uint64_t most = window == 0 ? kv_len : std::min(window, kv_len);  // keys of the last query
  if (!causal) return checked_product("attention pairs", {q_len, most});
  // Query i sees kv_len - q_len + i + 1 keys, so the queries that see any see first .. kv_len of them, capped by
  // `most`.
  const std::uint64_t rows = std::min(q_len, kv_len);
  const std::uint64_t first = kv_len - rows + 1;
  if (rows == 0 || most < first) return checked_product("attention pairs", {rows, most});
  const std::uint64_t growing = most - first + 1;  // rows with first, first + 1, ..., most keys
  const std::uint64_t capped = rows - growing;
  const std::uint64_t ends = checked_sum("attention pairs", {first, most});
  const std::uint64_t triangle = growing % 2 == 0 ? checked_product("attention pairs", {growing / 2, ends})
                                                  : checked_product("attention pairs", {growing, ends / 2});
  return checked_sum("attention pairs", {triangle, checked_product("attention pairs", {capped, most})});
}

std::string_view name(LinearRule rule) { return kRules[static_cast<std::size_t>(rule)]; }

Cost cost(const Operator& op) {
  return std::visit([](const auto& o) { return cost_of(o); }, op);
}

const ElementwiseInfo& info(ElementwiseKind kind) { return kElementwise.at(static_cast<std::size_t>(kind)); }

std::string_view name(ElementwiseKind kind) { return info(kind).name; }

std::string kind_name(const Operator& op) {
  return std::visit(
      Overloaded{
          [](const Gemm&) { return "gemm"; }, [](const BatchedGemm&) { return "bmm"; },
          [](const Attention&) { return "attention"; },
          [](const Norm& n) { return n.kind == NormKind::rms ? "rmsnorm" : "layernorm"; },
          [](const Softmax&) { return "softmax"; }, [](const Elementwise&) { return "elementwise"; },
          [](const Rotary& r) { return r.rotary_dim == 0 ? "kv_append" : "rotary"; },
          [](const EmbeddingGather&) { return "embedding"; }, [](const CausalConv&) { return "causal_conv"; },
          [](const SelectiveScan&) { return "selective_scan"; },
          [](const LinearAttention&) { return "linear_attention"; }, [](const LinearScan&) { return "linear_scan"; },
          [](const TopK&) { return "top_k"; }, [](const GatherRows&) { return "gather_rows"; },
          [](const CombineRows&) { return "combine_rows"; }, [](const GroupedGemm&) { return "grouped_gemm"; },
          [](const SparseAttention&) { return "sparse_attention"; }, [](const FftConv&) { return "fft_conv"; },
          [](const StateFilter&) { return "state_filter"; },
          [](const SerialRecurrence&) { return "serial_recurrence"; }, [](const PoolRows&) { return "pool_rows"; },
          [](const PageScores&) { return "page_scores"; }, [](const Sort&) { return "sort"; },
          // training
          [](const Backward<Attention>&) { return "attention_backward"; },
          [](const Backward<Norm>& n) {
            return n.forward.kind == NormKind::rms ? "rmsnorm_backward" : "layernorm_backward";
          },
          [](const Backward<Softmax>&) { return "softmax_backward"; },
          [](const Backward<Elementwise>&) { return "elementwise_backward"; },
          [](const Backward<EmbeddingGather>&) { return "embedding_backward"; },
          [](const Backward<CausalConv>&) { return "causal_conv_backward"; },
          [](const Backward<SelectiveScan>&) { return "selective_scan_backward"; },
          [](const Backward<LinearAttention>&) { return "linear_attention_backward"; },
          [](const Backward<LinearScan>&) { return "linear_scan_backward"; },
          [](const Backward<TopK>&) { return "top_k_backward"; },
          [](const Backward<GatherRows>&) { return "gather_rows_backward"; },
          [](const Backward<CombineRows>&) { return "combine_rows_backward"; },
          [](const Backward<GroupedGemm>&) { return "grouped_gemm_backward"; },
          [](const ColumnSum&) { return "column_sum"; }, [](const CrossEntropy&) { return "cross_entropy"; },
          [](const AdamW&) { return "adamw"; }, [](const Communication& c) { return name(c.kind).data(); }},
      op);
}

std::vector<OperatorKind> operator_kinds() {
  std::string kinds;
  for (const ElementwiseInfo& kind : kElementwise) kinds += fmt::format("{}{}", kinds.empty() ? "" : ", ", kind.name);
  std::string rules;
  for (const std::string_view rule : kRules) rules += fmt::format("{}{}", rules.empty() ? "" : ", ", rule);
  return {
      {"gemm", "matrix product of activations with weights, optional bias"},
      {"bmm", "batch of independent matrix products of activations"},
      {"attention", "softmax(Q K^T / sqrt(d)) V with grouped heads, causal mask, sliding window"},
      {"rmsnorm", "RMS normalisation of rows, optional residual add before it"},
      {"layernorm", "layer normalisation of rows, optional residual add before it"},
      {"softmax", "softmax of rows"},
      {"elementwise", "one result per element: " + kinds},
      {"rotary", "rotary position embedding of Q and K, with the append to the KV cache"},
      {"kv_append", "append of K and V to the KV cache alone"},
      {"embedding", "gather of embedding rows by token, optional learned positions"},
      {"causal_conv", "short causal convolution of each channel, optional SiLU"},
      {"selective_scan", "Mamba-1's scan: one state vector per channel, steps chosen by the input"},
      {"linear_attention", "linear attention and its gated and delta rules, by chunks: " + rules},
      {"linear_scan", "h = a h + b for each channel (RG-LRU, LRU, minGRU), or systems of constant states (S4D)"},
      {"top_k", "the k largest of each row"},
      {"gather_rows", "rows fetched by index"},
      {"combine_rows", "weighted sum of rows fetched by index"},
      {"grouped_gemm", "matrix products of groups of rows with weights of their own (experts)"},
      {"sparse_attention", "softmax attention to windows, sinks, global, random or chosen blocks of keys"},
      {"fft_conv", "causal convolution as long as the sequence, by Fourier transforms (S4, H3, Hyena)"},
      {"state_filter", "the filter of a state space from its parameters: Vandermonde (S4D) or Cauchy sums (S4)"},
      {"serial_recurrence", "LSTM and sLSTM: token by token, gates that read the last output"},
      {"pool_rows", "weighted sum, or minimum and maximum, of blocks of rows"},
      {"page_scores", "bounds of q k for each page of the KV cache (Quest)"},
      {"sort", "rows of keys put in order by radix, with their indices"},
      {"attention_backward", "gradients of Q, K and V, the probabilities computed again (five products)"},
      {"rmsnorm_backward", "gradients of the rows and of the weights of an RMS norm"},
      {"layernorm_backward", "gradients of the rows and of the weights of a layer norm"},
      {"softmax_backward", "gradient of a softmax of rows"},
      {"elementwise_backward", "gradients of the inputs of an elementwise operator"},
      {"embedding_backward", "gradient rows added to the gradient of the table, by token"},
      {"causal_conv_backward", "gradients of a short convolution, its input and its filters"},
      {"selective_scan_backward", "gradients of Mamba-1's scan, its states computed again"},
      {"linear_attention_backward", "gradients of linear attention by chunks, the states computed again"},
      {"linear_scan_backward", "gradients of a linear scan: the same scan from the back"},
      {"top_k_backward", "gradients of the chosen values, zeros elsewhere"},
      {"gather_rows_backward", "gradient rows summed into the rows that they were fetched from"},
      {"combine_rows_backward", "gradients of the rows of a weighted sum and of its weights"},
      {"grouped_gemm_backward", "gradients of the weights of grouped matrix products"},
      {"column_sum", "sum of the rows of a matrix (gradient of a bias)"},
      {"cross_entropy", "loss of logits and their gradient, in place"},
      {"adamw", "optimiser step of AdamW"},
      {"all_reduce", "every rank ends with the sum of all ranks' buffers"},
      {"reduce_scatter", "every rank ends with its part of the sum"},
      {"all_gather", "every rank ends with the parts of all"},
      {"all_to_all", "part j of rank i goes to rank j"},
      {"broadcast", "from one rank to all"},
      {"send_receive", "from each rank to the next"},
  };
}

}  // namespace lightcone::models
