// SPDX-License-Identifier: Apache-2.0
// Softmax attention with full, grouped or single KV heads (Vaswani et al. 2017, Shazeer 2019, Ainslie et al. 2023),
// sliding window and sinks. One GEMM gives Q, K and V, and the output's gate. Which keys are seen, where not all,
// stands in key_choice.h.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "models/families/key_choice.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

std::uint64_t query_width(const AttentionMixer& a) { return size_product({a.heads, a.head_dim}); }
std::uint64_t output_width(const AttentionMixer& a) { return size_product({a.heads, a.v_dim()}); }
// Hashed attention has one matrix for Q and K.
std::uint64_t key_width(const AttentionMixer& a) {
  return std::holds_alternative<LshKeys>(a.choice) ? 0 : size_product({a.kv_heads, a.head_dim});
}
std::uint64_t qkv_width(const AttentionMixer& a) {
  return size_sum(
      {size_product({a.output_gate ? 2u : 1u, query_width(a)}), key_width(a), size_product({a.kv_heads, a.v_dim()})});
}
std::uint64_t input_width(const AttentionMixer& a, std::uint64_t d) {
  return size_product({a.with_embeddings ? 2u : 1u, d});
}
std::uint64_t rotary_dim(const AttentionMixer& a, const ModelSpec& model) {
  return model.position == PositionKind::rotary ? a.rotary_dim.value_or(a.head_dim) : 0;
}

// Keys that a head of this span reads: those of the span and of the ramp behind it, in multiples of 64
// (facebookresearch/adaptive-span, trim_memory).
std::uint64_t trimmed_span(std::uint64_t span) { return (size_sum({span, kSpanRamp}) + 63) / 64 * 64; }

// Adaptive spans (Sukhbaatar et al. 2019): a launch for the heads of each trimmed span. The ramp's weights and the
// second normalisation are part of the kernel.
Index attend_by_span(const AttentionParts& p) {
  std::map<std::uint64_t, std::uint64_t> heads;
  for (const std::uint64_t span : p.a.spans) ++heads[trimmed_span(span)];
  std::vector<Index> parts;
  for (const auto& [span, count] : heads) {
    Attention op = p.dense();
    op.heads = op.kv_heads = count;
    op.window = span;
    parts.push_back(p.add("attention_span_" + std::to_string(span), op, p.placed));
  }
  return parts.back();
}

Communication among_context_ranks(const AttentionParts& p, CollectiveKind kind, std::uint64_t elements) {
  return {kind, ParallelAxis::context, p.b.share().context, elements, p.b.stream()};
}

// Queries of two blocks of this rank's, i and 2 ranks - 1 - i of so many, against all keys before them: every rank has
// as many pairs, so that the first stands for all. Without a causal mask one block.
Index attend_to_gathered(const AttentionParts& p) {
  const std::uint64_t ranks = p.b.share().context, tokens = p.tokens();
  const std::uint64_t values = size_product({p.shape().batch, tokens, token_values(p.a)});
  const Index gathered = p.add("kv_tokens", among_context_ranks(p, CollectiveKind::all_gather, values), p.placed);
  Attention op = p.dense();
  op.kv = op.activation;  // gathered as projected, not from the cache
  if (p.a.bidirectional) {
    op.q_len = tokens / ranks;
    return p.add("attention", op, {gathered});
  }
  op.q_len = op.kv_len = tokens / (2 * ranks);
  const Index first = p.add("attention_first_block", op, {gathered});
  op.kv_len = tokens;
  return p.add("attention_last_block", op, {gathered, first});
}

// From this rank's tokens of all heads to all tokens of its heads, and back. KV heads fewer than the ranks go to
// several.
Index attend_by_heads(const AttentionParts& p) {
  const std::uint64_t ranks = p.b.share().context, kv_heads = std::max(p.a.kv_heads, ranks);
  const std::uint64_t kv_width = size_product({kv_heads, size_sum({p.a.head_dim, p.a.v_dim()})});
  const std::uint64_t in = size_product({p.b.rows(), size_sum({query_width(p.a), kv_width})});
  const Index exchanged = p.add("to_heads", among_context_ranks(p, CollectiveKind::all_to_all, in), p.placed);
  Attention op = p.dense();
  op.kv = op.activation;
  op.heads = p.a.heads / ranks;
  op.kv_heads = kv_heads / ranks;
  const Index attended = p.add("attention", op, {exchanged});
  const std::uint64_t out = size_product({p.b.rows(), output_width(p.a)});
  return p.add("to_tokens", among_context_ranks(p, CollectiveKind::all_to_all, out), {attended});
}

// Scores and probabilities written to memory, as attention was computed before FlashAttention (Dao et al. 2022): every
// pair is multiplied, the mask is added to the scores, the heads of a KV head are the rows of one product.
Index attend_materialised(const AttentionParts& p) {
  const Attention op = p.dense();
  const std::uint64_t group = op.heads / op.kv_heads, sequences = size_product({op.batch, op.kv_heads});
  const std::uint64_t rows = size_product({op.q_len, group}), all = size_product({sequences, rows, op.kv_len});
  const auto product = [&](std::uint64_t n, std::uint64_t k) {
    return BatchedGemm{sequences, rows, n, k, op.activation, op.kv, op.activation};
  };
  BatchedGemm of_keys = product(op.kv_len, op.head_dim);
  of_keys.weight_transposed = true;  // K lies as [keys, values]
  const Index scores = p.add("scores", of_keys, p.placed);
  const Index masked = p.add("scale_and_mask",
                             Elementwise{ElementwiseKind::add, all, op.activation, op.activation, op.kv_len}, {scores});
  const Index probabilities =
      p.add("softmax", Softmax{size_product({sequences, rows}), op.kv_len, op.activation}, {masked});
  return p.add("values", product(op.v_dim(), op.kv_len), {probabilities});
}

}  // namespace

std::uint64_t token_values(const AttentionMixer& a) {
  return size_product({a.kv_heads, size_sum({a.head_dim, a.v_dim()})});
}

std::uint64_t AttentionParts::length() const { return size_sum({shape().context, shape().tokens}); }

Attention AttentionParts::dense() const {
  return Attention{.batch = shape().batch,
                   .heads = a.heads,
                   .kv_heads = a.kv_heads,
                   .q_len = shape().tokens,
                   .kv_len = length(),
                   .head_dim = a.head_dim,
                   .causal = !a.bidirectional,
                   .window = a.window,
                   .activation = b.stream(),
                   .kv = shape().kv,
                   .paged = b.continues(),
                   .value_dim = a.value_dim};
}

SparseAttention AttentionParts::sparse(const KeyPattern& keys) const {
  return SparseAttention{.batch = shape().batch,
                         .heads = a.heads,
                         .kv_heads = a.kv_heads,
                         .q_len = shape().tokens,
                         .kv_len = length(),
                         .head_dim = a.head_dim,
                         .keys = keys,
                         .causal = !a.bidirectional,
                         .activation = b.stream(),
                         .kv = shape().kv,
                         .paged = b.continues(),
                         .value_dim = a.value_dim};
}

Index attend(const AttentionParts& p, const AllKeys&) {
  if (p.b.share().context > 1) return p.b.share().context_by_heads ? attend_by_heads(p) : attend_to_gathered(p);
  if (p.a.materialised) return attend_materialised(p);
  if (!p.a.spans.empty()) return attend_by_span(p);
  return p.add("attention", p.dense(), p.placed);
}

std::uint64_t kept_values(const AttentionMixer& a, const AllKeys&, std::uint64_t length) {
  std::uint64_t tokens = a.window == 0 ? length : std::min(length, a.window);
  if (a.spans.empty()) return size_product({tokens, token_values(a)});
  tokens = 0;  // of all heads together
  for (const std::uint64_t span : a.spans) tokens = size_sum({tokens, std::min(length, trimmed_span(span))});
  return size_product({tokens, size_sum({a.head_dim, a.v_dim()})});
}

ParameterParts parameters(const AttentionMixer& a, std::uint64_t d) {
  const std::uint64_t biases = size_sum({a.qkv_bias ? qkv_width(a) : 0, a.output_bias ? d : 0});
  const ParameterParts choice = std::visit([&](const auto& c) { return choice_parameters(a, c, d); }, a.choice);
  return {
      size_sum({size_product({input_width(a, d), qkv_width(a)}), size_product({output_width(a), d}), choice.matrices}),
      size_sum({biases, a.with_embeddings ? d : 0, a.qk_norm ? 2 * a.head_dim : 0, a.sinks ? a.heads : 0,
                a.spans.size(), choice.vectors})};
}

SequenceState sequence_state(const AttentionMixer& a, std::uint64_t, std::uint64_t length, const PhaseShape& shape) {
  const std::uint64_t values = std::visit([&](const auto& c) { return kept_values(a, c, length); }, a.choice);
  return {tensor_bytes("the KV cache", shape.kv, {values}), {}};
}

Index build(LayerBuilder& b, const AttentionMixer& a, const std::vector<Index>& inputs) {
  if (a.bidirectional && b.continues()) {
    throw ConfigError(b.model().name + " is an encoder: its attention is bidirectional, so that it has no decode step");
  }
  const PhaseShape& shape = b.shape();
  std::vector<Index> read = inputs;
  if (a.with_embeddings) {
    const Index normed = b.norm("embedding_half_norm", b.model().norm, 1, b.d_model(), inputs);
    read = {b.elementwise("beside_embedding", ElementwiseKind::copy, input_width(a, b.d_model()), {normed})};
  }
  const Index qkv = b.linear("qkv", input_width(a, b.d_model()), qkv_width(a), a.qkv_bias, read);
  std::vector<Index> heads{qkv};
  if (a.qk_norm) {
    heads = {b.norm("q_norm", NormKind::rms, a.heads, a.head_dim, {qkv}),
             b.norm("k_norm", NormKind::rms, a.kv_heads, a.head_dim, {qkv})};
  }
  const std::uint64_t turned = rotary_dim(a, b.model());
  if (turned != 0 || !shape.training) {
    heads = {b.add(turned == 0 ? "kv_write" : "rotary",
                   Rotary{b.rows(), a.heads, a.kv_heads, a.head_dim, turned, true, b.stream(), shape.kv}, heads)};
  }
  const AttentionParts parts{b, a, heads, inputs};
  Index result = std::visit([&](const auto& c) { return attend(parts, c); }, a.choice);
  if (a.output_gate) {
    result = b.elementwise("output_gate", ElementwiseKind::sigmoid_mul, output_width(a), {qkv, result});
  }
  return b.row_linear("output", output_width(a), b.d_model(), a.output_bias, {result});
}

void check_choice(const AttentionMixer& a, const AllKeys&, const FaultList& list, const ModelSpec&) {
  if (a.spans.empty()) return;
  if (a.spans.size() != a.heads) list.add("span", fmt::format("{} are given for {} heads", a.spans.size(), a.heads));
  if (a.materialised) list.add("span", "cannot be given beside materialised scores, which are of every key");
  require_own_keys(a, list, "a span per head");
}

void check_kind(const AttentionMixer& a, const FaultList& block, const ModelSpec& model) {
  const FaultList list = block.inside("attention");
  list.require("heads", a.heads);
  list.require("kv_heads", a.kv_heads);
  list.require("head_dim", a.head_dim);
  if (a.heads != 0 && a.kv_heads != 0 && a.heads % a.kv_heads != 0)
    list.add("kv_heads",
             fmt::format("{} does not divide heads {}: each KV head serves as many heads", a.kv_heads, a.heads));
  std::visit([&](const auto& c) { check_choice(a, c, list, model); }, a.choice);
  const bool all = std::holds_alternative<AllKeys>(a.choice);
  if (a.materialised && !all) list.add("materialised", "belongs to dense attention; the layer sees some keys only");
  if (a.materialised && a.window != 0)
    list.add("materialised", "cannot be given beside a window: the scores of every key are written");
  if (!a.spans.empty() && (!all || a.window != 0))
    list.add("span", "belongs to attention without a window or a choice of keys");
  if (model.position != PositionKind::rotary) {
    if (a.rotary_dim) list.add("rotary_dim", "is given, but the model's position is not ROTARY");
    return;
  }
  const std::uint64_t turned = a.rotary_dim.value_or(a.head_dim);
  const char* field = a.rotary_dim ? "rotary_dim" : "head_dim";
  if (turned % 2 != 0) list.add(field, fmt::format("{} is odd: rotary positions turn pairs of values", turned));
  if (turned > a.head_dim) list.add(field, fmt::format("{} is above head_dim {}", turned, a.head_dim));
}

std::string words(const AllKeys&) { return {}; }

std::string words(const AttentionMixer& a) {
  std::string out = fmt::format("attention, {} heads of {}, {} KV heads", a.heads, a.head_dim, a.kv_heads);
  if (a.value_dim != 0) out += fmt::format(", values of {}", a.value_dim);
  if (a.window != 0) out += fmt::format(", window {}", a.window);
  if (a.sinks) out += ", sinks";
  if (!a.spans.empty()) out += ", a span per head";
  if (a.materialised) out += ", scores in memory";
  out += std::visit([](const auto& c) { return words(c); }, a.choice);
  if (a.with_embeddings) out += ", of stream and embeddings";
  if (a.output_gate) out += ", gated output";
  return out;
}

}  // namespace lightcone::models
