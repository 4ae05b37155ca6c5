// SPDX-License-Identifier: Apache-2.0
// Attention to keys that do not depend on the input: StreamingLLM (Xiao et al. 2023), the Sparse Transformer (Child et
// al. 2019), Longformer (Beltagy et al. 2020), BigBird (Zaheer et al. 2020). Their pairs equal the masks of
// models/reference/mask.h.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "models/families/key_choice.h"

namespace lightcone::models {

namespace {
using Index = Section::Index;
}  // namespace

void require_own_keys(const AttentionMixer& a, const FaultList& list, const char* kind) {
  if (a.kv_heads != a.heads)
    list.add("kv_heads",
             fmt::format("{} differs from heads {}: {} needs keys for each head", a.kv_heads, a.heads, kind));
}

void require_direction(const AttentionMixer& a, bool bidirectional, const FaultList& list, const char* kind) {
  if (a.bidirectional == bidirectional) return;
  list.add("bidirectional", bidirectional ? fmt::format("must be true: {} is an encoder's", kind)
                                          : fmt::format("must not be given: {} is causal", kind));
}

void check_blocks(const FaultList& list, const char* field, std::uint64_t blocks, std::uint64_t block,
                  const ModelSpec& model) {
  if (model.max_positions == 0 || block == 0) return;
  const std::uint64_t there_are = (model.max_positions + block - 1) / block;
  if (blocks > there_are)
    list.add(field, fmt::format("{} is above the {} blocks of {} tokens that max_positions {} has", blocks, there_are,
                                block, model.max_positions));
}

// ---- Sinks and window --------------------------------------------------------------------------------------------

Index attend(const AttentionParts& p, const SinkKeys& c) {
  return p.add("attention", p.sparse({.window = p.a.window, .first = c.sinks}), p.placed);
}

std::uint64_t kept_values(const AttentionMixer& a, const SinkKeys& c, std::uint64_t length) {
  return size_product({std::min(length, size_sum({a.window, c.sinks})), token_values(a)});
}

void check_choice(const AttentionMixer& a, const SinkKeys& c, const FaultList& list, const ModelSpec&) {
  if (a.window == 0) list.add("window", "must be given beside sink_keys: what follows the sinks");
  list.inside("sink_keys").require("sinks", c.sinks);
  require_direction(a, false, list, "sink_keys");
}

std::string words(const SinkKeys& c) { return fmt::format(", {} sink tokens", c.sinks); }

// ---- Sparse Transformer ------------------------------------------------------------------------------------------

Index attend(const AttentionParts& p, const FixedKeys& c) {
  return p.add("attention", p.sparse({.block = c.stride, .local = 1, .summary = c.summary}), p.placed);
}

void check_choice(const AttentionMixer& a, const FixedKeys& c, const FaultList& list, const ModelSpec&) {
  if (c.summary > c.stride)
    list.inside("fixed_keys").add("summary", fmt::format("{} is above stride {}", c.summary, c.stride));
  require_direction(a, false, list, "fixed_keys");
}

std::string words(const FixedKeys& c) {
  return fmt::format(", the own {} tokens and the last {} of each {}", c.stride, c.summary, c.stride);
}

// Half of the heads see the last `stride` keys, half every stride-th one: Q, K and V of these are put in the order of
// their remainder by the stride, so that each remainder is a short dense sequence (openai/sparse_attention).
Index attend(const AttentionParts& p, const StridedKeys& c) {
  Attention near = p.dense();
  near.heads /= 2;
  near.kv_heads /= 2;
  near.window = c.stride;
  const Index local = p.add("attention_local", near, p.placed);
  const std::uint64_t width = size_product({near.heads, size_sum({p.a.head_dim, p.a.head_dim, p.a.v_dim()})});
  Index far = p.b.elementwise("by_remainder", ElementwiseKind::copy, width, p.placed);
  // Remainders of equal numbers of queries and keys are sequences of one launch.
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> sequences;
  for (std::uint64_t r = 0; r < std::min(c.stride, p.length()); ++r) {
    const auto up_to = [&](std::uint64_t tokens) { return tokens > r ? (tokens - 1 - r) / c.stride + 1 : 0; };
    const std::uint64_t keys = up_to(p.length()), queries = keys - up_to(p.shape().context);
    if (queries > 0) ++sequences[{queries, keys}];
  }
  for (const auto& [sizes, count] : sequences) {
    Attention strided = near;
    strided.window = 0;
    strided.batch = size_product({near.batch, count});
    strided.q_len = sizes.first;
    strided.kv_len = sizes.second;
    far = p.add("attention_strided", strided, {far});
  }
  far = p.b.elementwise("by_position", ElementwiseKind::copy, size_product({near.heads, p.a.v_dim()}), {far, local});
  return far;
}

void check_choice(const AttentionMixer& a, const StridedKeys&, const FaultList& list, const ModelSpec&) {
  if (a.heads % 2 != 0 || a.kv_heads % 2 != 0)
    list.add("heads",
             fmt::format("{} and kv_heads {} must be even: half of the heads are strided", a.heads, a.kv_heads));
  require_direction(a, false, list, "strided_keys");
}

std::string words(const StridedKeys& c) {
  return fmt::format(", half the last {} tokens, half every {}th", c.stride, c.stride);
}

// ---- Longformer ----------------------------------------------------------------------------------------------------

// All queries see the window and the global tokens. Global queries see every key, by projections of their own, whose
// keys and values are made of all tokens (HF LongformerSelfAttention).
Index attend(const AttentionParts& p, const LongformerKeys& c) {
  const std::uint64_t global = std::min(c.global, p.tokens());
  const Index local = p.add("attention", p.sparse({.window = c.one_sided + 1, .first = c.global}), p.placed);
  const Index kv = p.b.linear("global_kv", p.b.d_model(), token_values(p.a), p.a.qkv_bias, p.stream);
  const Index query = p.add("global_q",
                            Gemm{.m = size_product({p.shape().batch, global}),
                                 .n = size_product({p.a.heads, p.a.head_dim}),
                                 .k = p.b.d_model(),
                                 .activation = p.b.stream(),
                                 .weight = p.shape().weights,
                                 .output = p.b.stream(),
                                 .bias = p.a.qkv_bias},
                            {local});
  Attention all = p.dense();
  all.q_len = global;
  return p.add("attention_global", all, {query, kv});
}

ParameterParts choice_parameters(const AttentionMixer& a, const LongformerKeys&, std::uint64_t d) {
  const std::uint64_t width = size_sum({size_product({a.heads, a.head_dim}), token_values(a)});
  return {size_product({d, width}), a.qkv_bias ? width : 0};
}

void check_choice(const AttentionMixer& a, const LongformerKeys& c, const FaultList& list, const ModelSpec& model) {
  check_blocks(list.inside("longformer_keys"), "global", c.global, 1, model);
  require_direction(a, true, list, "longformer_keys");
}

std::string words(const LongformerKeys& c) {
  return fmt::format(", {} tokens on both sides, {} global tokens", c.one_sided, c.global);
}

// ---- BigBird -------------------------------------------------------------------------------------------------------

// The own block and its neighbours, the first and the last block, and random ones; the first and last block see all.
Index attend(const AttentionParts& p, const BigBirdKeys& c) {
  const KeyPattern keys{.block = c.block, .local = 2, .first = 1, .last = 1, .global_rows = true, .chosen = c.random};
  return p.add("attention", p.sparse(keys), p.placed);
}

void check_choice(const AttentionMixer& a, const BigBirdKeys& c, const FaultList& list, const ModelSpec& model) {
  check_blocks(list.inside("big_bird_keys"), "random", c.random + 5, c.block, model);
  require_direction(a, true, list, "big_bird_keys");
}

std::string words(const BigBirdKeys& c) {
  return fmt::format(", blocks of {}: 3 near, 2 global, {} random", c.block, c.random);
}

}  // namespace lightcone::models
