// SPDX-License-Identifier: Apache-2.0
#include "models/graph/key_pattern.h"

#include <algorithm>

#include "models/graph/operator.h"
#include "sim/base/checked.h"

namespace lightcone::models {

namespace {

std::uint64_t token_of(const SparseAttention& op, std::uint64_t index) {
  return (op.tokens == 0 ? op.kv_len : op.tokens) - op.q_len + index;
}

// Summary keys among the keys [0, end).
std::uint64_t summaries_below(const KeyPattern& keys, std::uint64_t end) {
  const std::uint64_t rest = end % keys.block, plain = keys.block - keys.summary;
  return end / keys.block * keys.summary + (rest > plain ? rest - plain : 0);
}

void add_span(SeenKeys& seen, std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return;
  // In ascending order of `begin`; then neighbours that touch become one.
  std::size_t at = seen.count++;
  for (; at > 0 && seen.spans[at - 1].begin > begin; --at) seen.spans[at] = seen.spans[at - 1];
  seen.spans[at] = {begin, end};
  std::size_t kept = 0;
  for (std::size_t i = 1; i < seen.count; ++i) {
    if (seen.spans[i].begin <= seen.spans[kept].end) {
      seen.spans[kept].end = std::max(seen.spans[kept].end, seen.spans[i].end);
    } else {
      seen.spans[++kept] = seen.spans[i];
    }
  }
  seen.count = kept + 1;
}

}  // namespace

std::uint64_t SeenKeys::in_spans() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += spans[i].end - spans[i].begin;
  return sum;
}

std::uint64_t keys_before(const SparseAttention& op, std::uint64_t index) {
  if (!op.causal) return op.kv_len;
  const std::uint64_t tokens = token_of(op, index) + 1;
  return tokens < op.keys.span ? 0 : std::min(op.kv_len, (tokens - op.keys.span) / op.keys.step + 1);
}

SeenKeys seen_keys(const SparseAttention& op, std::uint64_t index) {
  const KeyPattern& keys = op.keys;
  SeenKeys seen;
  const std::uint64_t limit = keys_before(op, index);
  if (limit == 0) return seen;
  // The query's own place among the keys, and its own block.
  const std::uint64_t own = op.causal ? limit - 1 : std::min(token_of(op, index), op.kv_len - 1);
  const std::uint64_t block = own / keys.block, blocks = ceil_div(op.kv_len, keys.block);
  if (keys.global_rows && (block < keys.first || block + keys.last >= blocks)) {
    add_span(seen, 0, limit);
    return seen;
  }
  const bool everything = keys.window == 0 && keys.blocks_seen() == 0 && keys.summary == 0;
  if (everything) add_span(seen, 0, limit);
  if (keys.window > 0) {
    add_span(seen, own + 1 - std::min(own + 1, keys.window), op.causal ? limit : std::min(limit, own + keys.window));
  }
  if (keys.local > 0) {
    const std::uint64_t end = op.causal ? limit : std::min(limit, (block + keys.local) * keys.block);
    add_span(seen, (block + 1 - std::min(block + 1, keys.local)) * keys.block, end);
  }
  add_span(seen, 0, std::min(limit, keys.first * keys.block));
  if (keys.last > 0) add_span(seen, (blocks - std::min(blocks, keys.last)) * keys.block, op.kv_len);
  if (keys.summary > 0) {
    seen.summary = summaries_below(keys, limit);
    for (std::size_t i = 0; i < seen.count; ++i) {
      seen.summary -= summaries_below(keys, seen.spans[i].end) - summaries_below(keys, seen.spans[i].begin);
    }
  }
  if (keys.chosen > 0) {
    std::uint64_t others = ceil_div(limit, keys.block);
    for (std::size_t i = 0; i < seen.count; ++i) {
      const std::uint64_t touched = ceil_div(seen.spans[i].end, keys.block) - seen.spans[i].begin / keys.block;
      others -= std::min(others, touched);
    }
    seen.chosen = std::min(keys.chosen, others) * keys.block;
  }
  return seen;
}

std::uint64_t attended_pairs(const SparseAttention& op) {
  std::uint64_t pairs = 0;
  for (std::uint64_t i = 0; i < op.q_len; ++i)
    pairs = checked_sum("attention pairs", {pairs, seen_keys(op, i).total()});
  return pairs;
}

std::uint64_t index_lists(const SparseAttention& op) {
  if (op.keys.chosen == 0) return 0;
  const std::uint64_t queries = op.keys.per_query ? op.q_len : ceil_div(op.q_len, op.keys.block);
  return checked_product("lists of blocks", {queries, op.keys.per_head ? op.heads : op.kv_heads});
}

std::uint64_t list_length(const SparseAttention& op) {
  return std::min(op.keys.chosen, ceil_div(op.kv_len, op.keys.block));
}

std::uint64_t visible_keys(const SparseAttention& op) {
  if (!op.causal) return op.kv_len;
  const std::uint64_t all = keys_before(op, op.q_len - 1);
  SparseAttention fixed = op;
  fixed.keys.chosen = 0;
  const bool only_chosen = op.keys.chosen > 0 && op.keys.chosen == op.keys.blocks_seen() && op.keys.window == 0;
  // The ranges move forward with the query: what is new lies beyond those of the queries before.
  std::uint64_t visible = 0, seen_to = 0;
  for (std::uint64_t i = 0; i < op.q_len && seen_to < all && !only_chosen; ++i) {
    const SeenKeys seen = seen_keys(fixed, i);
    for (std::size_t s = 0; s < seen.count; ++s) {
      const std::uint64_t begin = std::max(seen_to, seen.spans[s].begin);
      if (begin < seen.spans[s].end) visible += seen.spans[s].end - begin;
      seen_to = std::max(seen_to, seen.spans[s].end);
    }
    if (i == 0) visible += seen.summary;
  }
  if (op.keys.chosen > 0) {
    const std::uint64_t lists = index_lists(op) / op.kv_heads;
    const std::uint64_t wanted =
        checked_product("chosen keys", {std::max<std::uint64_t>(1, lists), op.keys.chosen, op.keys.block});
    visible = checked_sum("chosen keys", {visible, std::min(wanted, all)});
  }
  return std::min(visible, all);
}

}  // namespace lightcone::models
