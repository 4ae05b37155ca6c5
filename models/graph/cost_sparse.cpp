// SPDX-License-Identifier: Apache-2.0
// Costs of sparse attention and of what chooses its keys: pooling, bounds of pages, sorting.
#include <algorithm>

#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

constexpr std::uint64_t kIndexBytes = 4;
constexpr std::uint64_t kMostQueries = std::uint64_t{1} << 24;  // pairs are summed query by query

void check_pattern(const SparseAttention& a) {
  const KeyPattern& keys = a.keys;
  require_positive("sparse_attention keys", {{"block", keys.block}, {"step", keys.step}, {"span", keys.span}});
  const auto refuse = [](const std::string& why) { throw ConfigError("sparse_attention: " + why); };
  if (a.q_len > kMostQueries) refuse(fmt::format("q_len {} is above {}", a.q_len, kMostQueries));
  if (a.heads % a.kv_heads != 0) refuse(fmt::format("kv_heads {} does not divide heads {}", a.kv_heads, a.heads));
  const std::uint64_t tokens = a.tokens == 0 ? a.kv_len : a.tokens;
  if (a.q_len > tokens) refuse(fmt::format("{} queries do not fit a sequence of {} tokens", a.q_len, tokens));
  if (a.causal && (keys.last > 0 || keys.global_rows)) refuse("last blocks and global rows are not causal");
  if (keys.summary > keys.block) refuse(fmt::format("summary {} is above block {}", keys.summary, keys.block));
  for (const std::uint64_t blocks : {keys.local, keys.first, keys.last, keys.chosen, std::uint64_t{1}}) {
    (void)checked_product("sparse_attention blocks", {blocks, keys.block, 8});
  }
  (void)checked_sum("sparse_attention keys", {a.kv_len, tokens, keys.window, keys.span});
}

}  // namespace

// Per pair as attention; the lists of chosen blocks are read besides.
Cost cost_of(const SparseAttention& a) {
  require_positive("sparse_attention", {{"batch", a.batch},
                                        {"heads", a.heads},
                                        {"kv_heads", a.kv_heads},
                                        {"q_len", a.q_len},
                                        {"kv_len", a.kv_len},
                                        {"head_dim", a.head_dim}});
  check_pattern(a);
  const std::uint64_t pairs = checked_product("attention pairs", {a.batch, a.heads, attended_pairs(a)});
  const std::uint64_t rows = checked_product("attention rows", {a.batch, a.heads, a.q_len});
  const std::uint64_t width = checked_sum("attention head", {a.head_dim, a.scored_block > 0 ? 0 : a.v_dim()});
  Cost c;
  const std::uint64_t outputs = a.scored_block > 0 ? 0 : checked_product("attention FLOPs", {rows, a.v_dim()});
  c.matrix_flops = flops("attention FLOPs", {2, pairs, width});
  c.vector_flops = Flops(checked_sum("attention FLOPs", {checked_product("attention FLOPs", {4, pairs}), outputs}));
  c.special = checked_sum("attention special functions", {pairs, rows});
  const std::uint64_t indices =
      checked_product("lists of blocks", {a.batch, index_lists(a), list_length(a), kIndexBytes});
  c.read_bytes =
      total("attention inputs",
            {tensor_bytes("attention Q", a.activation, {rows, a.head_dim}),
             tensor_bytes("attention K and V", a.kv, {a.batch, visible_keys(a), a.kv_heads, width}), Bytes(indices)});
  if (a.scored_block > 0) {
    const std::uint64_t tokens = a.tokens == 0 ? a.kv_len : a.tokens;
    const std::uint64_t score_rows = a.keys.per_query ? rows / a.heads * a.kv_heads : rows;
    c.written_bytes =
        tensor_bytes("attention scores", NumberFormat::fp32, {score_rows, ceil_div(tokens, a.scored_block)});
  } else {
    c.written_bytes = tensor_bytes("attention output", a.activation, {rows, a.v_dim()});
  }
  return c;
}

// A multiply-add per value of a block; or a comparison each for the minimum and the maximum.
Cost cost_of(const PoolRows& p) {
  require_positive("pool_rows", {{"batch", p.batch},
                                 {"rows", p.rows},
                                 {"columns", p.columns},
                                 {"block", p.block},
                                 {"stride", p.stride},
                                 {"blocks", p.blocks}});
  const std::uint64_t last = checked_product("pool_rows", {p.blocks - 1, p.stride});
  if (last >= p.rows) {
    throw ConfigError(
        fmt::format("pool_rows: {} blocks every {} rows do not begin within {} rows", p.blocks, p.stride, p.rows));
  }
  // All blocks are whole but those that the end cuts off.
  std::uint64_t visited = 0;
  const std::uint64_t whole = p.rows < p.block ? 0 : std::min(p.blocks, (p.rows - p.block) / p.stride + 1);
  for (std::uint64_t b = whole; b < p.blocks; ++b) visited += p.rows - b * p.stride;
  visited = checked_sum("pool_rows", {visited, checked_product("pool_rows", {whole, p.block})});
  Cost c;
  c.vector_flops = flops("pool_rows FLOPs", {2, p.batch, visited, p.columns});
  c.weight_bytes = p.bounds ? Bytes() : tensor_bytes("pool_rows weights", p.format, {p.block});
  c.read_bytes = tensor_bytes("pool_rows input", p.format, {p.batch, p.rows, p.columns});
  c.written_bytes = tensor_bytes("pool_rows output", p.format, {p.bounds ? 2u : 1u, p.batch, p.blocks, p.columns});
  return c;
}

// Two products, their larger one, and the sum.
Cost cost_of(const PageScores& p) {
  require_positive("page_scores", {{"batch", p.batch},
                                   {"heads", p.heads},
                                   {"kv_heads", p.kv_heads},
                                   {"queries", p.queries},
                                   {"pages", p.pages},
                                   {"head_dim", p.head_dim}});
  if (p.heads % p.kv_heads != 0) {
    throw ConfigError(fmt::format("page_scores: kv_heads {} does not divide heads {}", p.kv_heads, p.heads));
  }
  Cost c;
  c.vector_flops = flops("page_scores FLOPs", {4, p.batch, p.heads, p.queries, p.pages, p.head_dim});
  c.read_bytes = total("page_scores input",
                       {tensor_bytes("page_scores Q", p.format, {p.batch, p.queries, p.heads, p.head_dim}),
                        tensor_bytes("page_scores bounds", p.format, {2, p.batch, p.kv_heads, p.pages, p.head_dim})});
  c.written_bytes = tensor_bytes("page_scores output", NumberFormat::fp32, {p.batch, p.heads, p.queries, p.pages});
  return c;
}

// Radix sorting compares nothing: keys are read, keys and indices written.
Cost cost_of(const Sort& s) {
  require_positive("sort", {{"rows", s.rows}, {"columns", s.columns}, {"key_bits", s.key_bits}});
  if (s.key_bits > 32) throw ConfigError(fmt::format("sort: keys of {} bits, 32 at most", s.key_bits));
  Cost c;
  c.read_bytes = Bytes(checked_product("sort keys", {s.rows, s.columns, kIndexBytes}));
  c.written_bytes = Bytes(checked_product("sort output", {2, s.rows, s.columns, kIndexBytes}));
  return c;
}

}  // namespace lightcone::models
