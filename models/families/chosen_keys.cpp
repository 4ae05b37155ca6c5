// SPDX-License-Identifier: Apache-2.0
// Attention to blocks of keys that a cheaper score chooses: NSA (Yuan et al. 2025), MoBA (MoonshotAI 2025), blocks by
// index heads (MiniMax-M3), Quest (Tang et al. 2024). The scores, the choice and the gather are operators too: what
// choosing costs is part of the layer.
#include <fmt/core.h>

#include <algorithm>

#include "models/families/key_choice.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

std::uint64_t blocks_of(std::uint64_t tokens, std::uint64_t block) { return (tokens + block - 1) / block; }

std::vector<Index> with(std::vector<Index> inputs, Index further) {
  inputs.push_back(further);
  return inputs;
}

// One row per block of keys of the pass; a decode step makes the block that it is in anew.
PoolRows pooled(const AttentionParts& p, std::uint64_t columns, std::uint64_t block, bool bounds) {
  const std::uint64_t rows = p.decodes() ? std::min(p.length(), block) : p.tokens();
  return PoolRows{p.shape().batch, rows, columns, block, block, blocks_of(rows, block), bounds, p.b.stream()};
}

}  // namespace

// ---- NSA -----------------------------------------------------------------------------------------------------------

// Three branches that share K and V: compressed keys, a few blocks of tokens, a window; sigmoid gates weigh them. The
// compressed scores are computed again to be summed over blocks and heads, as the published kernels do
// (fla/ops/nsa/parallel.py: parallel_nsa_topk).
Index attend(const AttentionParts& p, const NsaKeys& c) {
  const PhaseShape& shape = p.shape();
  const std::uint64_t length = p.length(), width = token_values(p.a);
  const Index gates = p.b.linear("nsa_gates", p.b.d_model(), size_product({3, p.a.heads}), false, p.stream);
  KeyPattern blocks{.block = c.block, .local = 2, .first = 1, .chosen = c.selected - 3, .per_query = true};
  std::vector<Index> branches;
  Index chosen = p.placed.back();
  if (length >= c.compress_block) {
    // A decode step ends a compressed block every compress_stride tokens; it is counted with every step.
    const std::uint64_t rows = p.decodes() ? c.compress_block : std::max(p.tokens(), c.compress_block);
    const std::uint64_t made = (rows - c.compress_block) / c.compress_stride + 1;
    const Index pooled = p.add(
        "compress", PoolRows{shape.batch, rows, width, c.compress_block, c.compress_stride, made, false, p.b.stream()},
        p.placed);
    SparseAttention compressed = p.sparse({.step = c.compress_stride, .span = c.compress_block});
    compressed.tokens = length;
    compressed.kv_len = (length - c.compress_block) / c.compress_stride + 1;
    branches.push_back(p.add("attention_compressed", compressed, {pooled}));
    SparseAttention importance = compressed;
    importance.keys.per_query = true;
    importance.scored_block = c.block;
    const Index scores = p.add("block_importance", importance, {branches.back()});
    const std::uint64_t there_are = blocks_of(length, c.block);
    chosen =
        p.add("block_top_k", TopK{size_product({p.b.rows(), p.a.kv_heads}), there_are, std::min(c.selected, there_are)},
              {scores});
  }
  branches.push_back(p.add("attention_selected", p.sparse(blocks), {chosen}));
  Attention window = p.dense();
  window.window = c.window;
  branches.push_back(p.add("attention_window", window, p.placed));
  // The gated sum of the branches, one multiply-add each.
  branches.push_back(gates);
  return p.add("gated_sum",
               CombineRows{size_product({p.b.rows(), p.a.heads}), branches.size() - 1, p.a.v_dim(), p.b.stream()},
               branches);
}

ParameterParts choice_parameters(const AttentionMixer& a, const NsaKeys& c, std::uint64_t d) {
  return {size_product({3, d, a.heads}), size_product({2, c.compress_block})};
}

std::uint64_t kept_values(const AttentionMixer& a, const NsaKeys& c, std::uint64_t length) {
  const std::uint64_t compressed = length < c.compress_block ? 0 : (length - c.compress_block) / c.compress_stride + 1;
  return size_product({size_sum({length, compressed}), token_values(a)});
}

void check_choice(const AttentionMixer& a, const NsaKeys& c, const FaultList& list, const ModelSpec& model) {
  const FaultList nsa = list.inside("nsa_keys");
  if (c.compress_stride != 0 && c.compress_block % c.compress_stride != 0)
    nsa.add("compress_stride",
            fmt::format("{} does not divide compress_block {}", c.compress_stride, c.compress_block));
  if (c.compress_stride != 0 && c.block % c.compress_stride != 0)
    nsa.add("compress_stride", fmt::format("{} does not divide block {}", c.compress_stride, c.block));
  if (c.selected < 3)
    nsa.add("selected",
            fmt::format("{} is below 3: the first, the own and the block before are among them", c.selected));
  check_blocks(nsa, "selected", c.selected, c.block, model);
  require_direction(a, false, list, "nsa_keys");
}

std::string words(const NsaKeys& c) {
  return fmt::format(", compressed keys, {} blocks of {}, window {}", c.selected, c.block, c.window);
}

// ---- MoBA ----------------------------------------------------------------------------------------------------------

// Prefill as the published kernels: the own block causally; for each block the later queries that chose it, gathered,
// densely; partial results summed by their log-sum-exp. Decode attends to every key (tech report, section 3.3).
Index attend(const AttentionParts& p, const MobaKeys& c) {
  if (p.decodes()) {
    const Index attended = p.add("attention", p.dense(), p.placed);
    return p.add("block_means", pooled(p, size_product({p.a.kv_heads, p.a.head_dim}), c.block, false), {attended});
  }
  const PhaseShape& shape = p.shape();
  const std::uint64_t length = p.length(), blocks = blocks_of(length, c.block), first = shape.context;
  const Index means =
      p.add("block_means", pooled(p, size_product({p.a.kv_heads, p.a.head_dim}), c.block, false), p.placed);
  const std::uint64_t group = p.a.heads / p.a.kv_heads;
  const Index gate =
      p.add("block_scores",
            BatchedGemm{size_product({shape.batch, p.a.kv_heads}), size_product({p.tokens(), group}), blocks,
                        p.a.head_dim, p.b.stream(), p.b.stream(), p.b.stream(), false, false, true},
            {means});
  const Index top =
      p.add("block_top_k", TopK{size_product({p.b.rows(), p.a.heads}), blocks, std::min(c.top_k, blocks), p.b.stream()},
            {gate});
  // Whole blocks of the own tokens are sequences of one launch, what is cut off another.
  std::vector<Index> parts;
  const auto own = [&](std::uint64_t count, std::uint64_t queries, std::uint64_t keys) {
    if (count == 0 || queries == 0) return;
    Attention op = p.dense();
    op.batch = size_product({shape.batch, count});
    op.q_len = queries;
    op.kv_len = keys;
    parts.push_back(p.add("attention_own_block", op, p.placed));
  };
  const std::uint64_t head =
      std::min(p.tokens(), (c.block - first % c.block) % c.block);  // ends the block of the context
  own(1, head, first % c.block + head);
  own((p.tokens() - head) / c.block, c.block, c.block);
  own(1, (p.tokens() - head) % c.block, (p.tokens() - head) % c.block);
  // Choices of earlier blocks over all queries of a head, spread over the blocks as evenly as whole numbers allow.
  std::uint64_t choices = 0;
  for (std::uint64_t b = first / c.block; b < blocks; ++b) {
    const std::uint64_t begin = std::max(first, b * c.block), end = std::min(length, (b + 1) * c.block);
    choices = size_sum({choices, size_product({end - begin, std::min(c.top_k - 1, b)})});
  }
  if (choices > 0) {
    const std::uint64_t rows = size_product({shape.batch, p.a.heads, choices});
    const Index gathered = p.add(
        "gather_queries", GatherRows{rows, size_product({p.b.rows(), p.a.heads}), p.a.head_dim, p.b.stream()}, {top});
    const std::uint64_t earlier = blocks - 1, more = choices % earlier;
    const auto chosen = [&](std::uint64_t count, std::uint64_t queries) {
      if (count == 0 || queries == 0) return;
      Attention op = p.dense();
      op.batch = size_product({shape.batch, count});
      op.q_len = queries;
      op.kv_len = c.block;
      op.causal = false;
      parts.push_back(p.add("attention_chosen_blocks", op, {gathered}));
    };
    chosen(more, choices / earlier + 1);
    chosen(earlier - more, choices / earlier);
    const std::uint64_t outputs = size_product({p.b.rows(), p.a.heads});
    CombineRows merge{outputs, c.top_k, p.a.v_dim(), p.b.stream()};
    merge.present = size_sum({outputs, rows});
    return p.add("merge_blocks", merge, parts);
  }
  return parts.back();
}

std::uint64_t kept_values(const AttentionMixer& a, const MobaKeys& c, std::uint64_t length) {
  return size_sum(
      {size_product({length, token_values(a)}), size_product({blocks_of(length, c.block), a.kv_heads, a.head_dim})});
}

void check_choice(const AttentionMixer& a, const MobaKeys& c, const FaultList& list, const ModelSpec& model) {
  check_blocks(list.inside("moba_keys"), "top_k", c.top_k, c.block, model);
  require_direction(a, false, list, "moba_keys");
}

std::string words(const MobaKeys& c) { return fmt::format(", {} blocks of {} by their means", c.top_k, c.block); }

// ---- Blocks by index heads -----------------------------------------------------------------------------------------

// Light heads of Q against one light key per token; the largest score of each block ranks it, and the heads of a KV
// head attend to the own block and the best ones before.
Index attend(const AttentionParts& p, const IndexedKeys& c) {
  const std::uint64_t length = p.length(), blocks = blocks_of(length, c.block);
  const std::uint64_t width = size_product({size_sum({c.index_heads, 1}), c.index_dim});
  const Index index = p.b.linear("index_q_k", p.b.d_model(), width, false, p.stream);
  const Index stored = p.add("index_k_write",
                             Elementwise{ElementwiseKind::copy, size_product({p.b.rows(), c.index_dim}), p.b.stream(),
                                         p.shape().kv, c.index_dim},
                             {index});
  SparseAttention scores = p.sparse({});
  scores.heads = c.index_heads;
  scores.kv_heads = 1;
  scores.head_dim = c.index_dim;
  scores.value_dim = 0;
  scores.scored_block = c.block;
  const Index scored = p.add("index_scores", scores, {stored});
  const Index top = p.add("block_top_k",
                          TopK{size_product({p.b.rows(), c.index_heads}), blocks, std::min(c.top_k, blocks)}, {scored});
  return p.add("attention", p.sparse({.block = c.block, .local = 1, .chosen = c.top_k - 1, .per_query = true}),
               with(p.placed, top));
}

ParameterParts choice_parameters(const AttentionMixer&, const IndexedKeys& c, std::uint64_t d) {
  return {size_product({d, size_sum({c.index_heads, 1}), c.index_dim}), 0};
}

std::uint64_t kept_values(const AttentionMixer& a, const IndexedKeys& c, std::uint64_t length) {
  return size_product({length, size_sum({token_values(a), c.index_dim})});
}

void check_choice(const AttentionMixer& a, const IndexedKeys& c, const FaultList& list, const ModelSpec& model) {
  const FaultList indexed = list.inside("indexed_keys");
  if (c.index_heads != a.kv_heads)
    indexed.add("index_heads", fmt::format("{} differs from kv_heads {}: each chooses for the heads of one KV head",
                                           c.index_heads, a.kv_heads));
  check_blocks(indexed, "top_k", c.top_k, c.block, model);
  require_direction(a, false, list, "indexed_keys");
}

std::string words(const IndexedKeys& c) {
  return fmt::format(", {} blocks of {} by {} index heads", c.top_k, c.block, c.index_heads);
}

// ---- Quest ---------------------------------------------------------------------------------------------------------

// A prefill is dense and leaves the bounds of every page; a decode step ranks the pages for each query head and reads
// the best ones. The page that is being filled is among them.
Index attend(const AttentionParts& p, const QuestKeys& c) {
  const Index bounds =
      p.add("page_bounds", pooled(p, size_product({p.a.kv_heads, p.a.head_dim}), c.page, true), p.placed);
  if (!p.decodes()) return p.add("attention", p.dense(), {bounds});
  const std::uint64_t pages = blocks_of(p.length(), c.page);
  const Index scores =
      p.add("page_scores", PageScores{p.shape().batch, p.a.heads, p.a.kv_heads, 1, pages, p.a.head_dim, p.b.stream()},
            {bounds});
  const Index top =
      p.add("page_top_k", TopK{size_product({p.b.rows(), p.a.heads}), pages, std::min(c.top_pages, pages)}, {scores});
  const KeyPattern keys{.block = c.page, .local = 1, .chosen = c.top_pages - 1, .per_query = true, .per_head = true};
  return p.add("attention", p.sparse(keys), {top});
}

std::uint64_t kept_values(const AttentionMixer& a, const QuestKeys& c, std::uint64_t length) {
  return size_sum(
      {size_product({length, token_values(a)}), size_product({2, blocks_of(length, c.page), a.kv_heads, a.head_dim})});
}

void check_choice(const AttentionMixer& a, const QuestKeys& c, const FaultList& list, const ModelSpec& model) {
  check_blocks(list.inside("quest_keys"), "top_pages", c.top_pages, c.page, model);
  require_direction(a, false, list, "quest_keys");
}

std::string words(const QuestKeys& c) { return fmt::format(", {} pages of {} at decode", c.top_pages, c.page); }

}  // namespace lightcone::models
