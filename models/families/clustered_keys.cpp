// SPDX-License-Identifier: Apache-2.0
// Attention among tokens that hashing or clustering brings together: Reformer (Kitaev et al. 2020), Routing Transformer
// (Roy et al. 2020), Cluster-Former (Wang et al. 2020). They group the tokens of a pass; a decode step has one token
// and attends to every key, as none of the papers defines another.
#include <fmt/core.h>

#include <algorithm>
#include <bit>

#include "models/families/key_choice.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

std::uint64_t bits(std::uint64_t values) {
  return values <= 1 ? 1 : static_cast<std::uint64_t>(std::bit_width(values - 1));
}

// Groups of tokens as sequences of their own: `count` in each sequence of the batch, of `queries` and `keys`.
Attention groups(const AttentionParts& p, std::uint64_t count, std::uint64_t queries, std::uint64_t keys) {
  Attention op = p.dense();
  op.batch = size_product({op.batch, count});
  op.q_len = queries;
  op.kv_len = keys;
  op.causal = false;  // the mask goes by the tokens' places before they were grouped: every pair is multiplied
  op.window = 0;
  op.paged = false;
  return op;
}

// Rows of each head fetched by index.
Index gathered(const AttentionParts& p, const std::string& name, std::uint64_t rows, std::uint64_t from,
               std::uint64_t columns, Index input) {
  const std::uint64_t lines = size_product({p.shape().batch, p.a.heads});
  return p.add(name,
               GatherRows{.rows = size_product({lines, rows}),
                          .source_rows = size_product({lines, from}),
                          .columns = columns,
                          .format = p.b.stream(),
                          .given = true},
               {input});
}

}  // namespace

// ---- Reformer ------------------------------------------------------------------------------------------------------

// Per round: products with random rotations, the largest one of each token and its negative, a sort by bucket and time,
// chunks of a bucket that attend to themselves and to the chunk before; then rounds merge by their log-sum-exp.
Index attend(const AttentionParts& p, const LshKeys& c) {
  if (p.decodes()) return p.add("attention", p.dense(), p.placed);
  const std::uint64_t tokens = (p.tokens() + c.bucket - 1) / c.bucket * c.bucket;  // padded to whole chunks
  const std::uint64_t chunks = tokens / c.bucket, buckets = std::max<std::uint64_t>(2, chunks + chunks % 2);
  const std::uint64_t lines = size_product({p.shape().batch, p.a.heads}), rows = size_product({c.rounds, tokens});
  const Index hashed = p.add("hash",
                             BatchedGemm{.batch = p.a.heads,
                                         .m = size_product({p.shape().batch, tokens}),
                                         .n = size_product({c.rounds, buckets / 2}),
                                         .k = p.a.head_dim,
                                         .activation = p.b.stream(),
                                         .weight = p.b.stream(),
                                         .output = p.b.stream(),
                                         .weights_are_static = true},
                             p.placed);
  const Index bucket = p.add("bucket", TopK{size_product({lines, rows}), buckets / 2, 1, p.b.stream()}, {hashed});
  const Index order =
      p.add("sort", Sort{lines, rows, std::min<std::uint64_t>(32, bits(size_product({rows, buckets})))}, {bucket});
  const Index q = gathered(p, "gather_qk", rows, p.tokens(), p.a.head_dim, order);
  const Index v = gathered(p, "gather_v", rows, p.tokens(), p.a.v_dim(), order);
  const Index attended =
      p.add("attention", groups(p, size_product({c.rounds, chunks}), c.bucket, size_product({2, c.bucket})), {q, v});
  return p.add("merge_rounds", CombineRows{size_product({lines, p.tokens()}), c.rounds, p.a.v_dim(), p.b.stream()},
               {attended});
}

void check_choice(const AttentionMixer& a, const LshKeys&, const FaultList& list, const ModelSpec&) {
  require_own_keys(a, list, "hashing");
  require_direction(a, false, list, "lsh_keys");
}

std::string words(const LshKeys& c) { return fmt::format(", {} rounds of hashing, chunks of {}", c.rounds, c.bucket); }

// ---- Routing Transformer -------------------------------------------------------------------------------------------

// Each of the clusters takes the tokens / clusters queries and keys nearest to its centroid, and a learned key and
// value.
Index attend(const AttentionParts& p, const RoutedKeys& c) {
  if (p.decodes()) return p.add("attention", p.dense(), p.placed);
  const std::uint64_t tokens = p.tokens(), window = std::max<std::uint64_t>(1, tokens / c.clusters);
  const std::uint64_t lines = size_product({p.shape().batch, p.a.heads});
  const Index unit = p.b.norm("unit_length", NormKind::rms, size_product({2, p.a.heads}), p.a.head_dim, p.placed);
  const Index scores = p.add("centroid_scores",
                             BatchedGemm{.batch = p.a.heads,
                                         .m = size_product({2, p.b.rows()}),
                                         .n = c.clusters,
                                         .k = p.a.head_dim,
                                         .activation = p.b.stream(),
                                         .weight = p.b.stream(),
                                         .output = p.b.stream(),
                                         .weights_are_static = true},
                             {unit});
  const Index members =
      p.add("cluster_top_k", TopK{size_product({2, lines, c.clusters}), tokens, std::min(window, tokens), p.b.stream()},
            {scores});
  const std::uint64_t rows = size_product({c.clusters, window});
  const Index q = gathered(p, "gather_q", rows, tokens, p.a.head_dim, members);
  const Index kv = gathered(p, "gather_k_v", rows, tokens, size_sum({p.a.head_dim, p.a.v_dim()}), members);
  const Index attended = p.add("attention", groups(p, c.clusters, window, window + 1), {q, kv});
  // Back to the tokens: the mean over the clusters that a token was in, one on average.
  return p.add("scatter_mean", CombineRows{size_product({lines, tokens}), 1, p.a.v_dim(), p.b.stream()}, {attended});
}

ParameterParts choice_parameters(const AttentionMixer& a, const RoutedKeys& c, std::uint64_t) {
  const std::uint64_t per_cluster = size_sum({a.head_dim, a.head_dim, a.v_dim()});  // centroid, memory key and value
  return {0, size_product({a.heads, c.clusters, per_cluster})};
}

void check_choice(const AttentionMixer& a, const RoutedKeys& c, const FaultList& list, const ModelSpec& model) {
  check_blocks(list.inside("routed_keys"), "clusters", c.clusters, 1, model);
  require_own_keys(a, list, "routing");
  require_direction(a, false, list, "routed_keys");
}

std::string words(const RoutedKeys& c) { return fmt::format(", {} clusters", c.clusters); }

// ---- Cluster-Former ------------------------------------------------------------------------------------------------

// The hidden states go to the nearest centroid, are sorted by it, and attend within segments of the sorted sequence.
Index attend(const AttentionParts& p, const ClusterKeys& c) {
  const std::uint64_t tokens = p.tokens(), whole = tokens / c.segment, rest = tokens % c.segment;
  const std::uint64_t width = size_sum({size_product({p.a.heads, p.a.head_dim}), token_values(p.a)});
  const Index scores = p.add("centroid_scores",
                             Gemm{.m = p.b.rows(),
                                  .n = c.clusters,
                                  .k = p.b.d_model(),
                                  .activation = p.b.stream(),
                                  .weight = p.b.stream(),
                                  .output = p.b.stream()},
                             p.placed);
  const Index cluster = p.add("cluster", TopK{p.b.rows(), c.clusters, 1, p.b.stream()}, {scores});
  const Index order = p.add("sort", Sort{p.shape().batch, tokens, bits(c.clusters)}, {cluster});
  const auto by_order = [&](std::uint64_t columns) {
    return GatherRows{
        .rows = p.b.rows(), .source_rows = p.b.rows(), .columns = columns, .format = p.b.stream(), .given = true};
  };
  Index rows = p.add("gather_q_k_v", by_order(width), {order});
  if (whole > 0) rows = p.add("attention", groups(p, whole, c.segment, c.segment), {rows});
  if (rest > 0) rows = p.add("attention_last", groups(p, 1, rest, rest), {rows});
  return p.add("scatter", by_order(size_product({p.a.heads, p.a.v_dim()})), {rows});
}

ParameterParts choice_parameters(const AttentionMixer&, const ClusterKeys& c, std::uint64_t d) {
  return {0, size_product({c.clusters, d})};
}

void check_choice(const AttentionMixer& a, const ClusterKeys&, const FaultList& list, const ModelSpec&) {
  require_direction(a, true, list, "cluster_keys");
}

std::string words(const ClusterKeys& c) {
  return fmt::format(", segments of {} by {} clusters", c.segment, c.clusters);
}

}  // namespace lightcone::models
