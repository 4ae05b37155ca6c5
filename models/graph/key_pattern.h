// SPDX-License-Identifier: Apache-2.0
// Which keys a query of sparse attention sees: the union of what the fields name. Fixed patterns (Sparse Transformer,
// Child et al. 2019; Longformer, Beltagy et al. 2020; BigBird, Zaheer et al. 2020; StreamingLLM, Xiao et al. 2023) and
// those that choose blocks by a score (NSA, Yuan et al. 2025; MoBA, MoonshotAI 2025; Quest, Tang et al. 2024). Tested
// against the masks of models/reference. Chosen blocks are taken to differ from those that are seen anyway.
#pragma once

#include <array>
#include <cstdint>

namespace lightcone::models {

struct SparseAttention;

struct KeyPattern {
  std::uint64_t window = 0;   // the last keys, the query's own included; not causal: as many on the other side too
  std::uint64_t block = 1;    // keys of a block, of all that follows
  std::uint64_t local = 0;    // the query's own block and those before it; not causal: as many on the other side too
  std::uint64_t first = 0;    // leading blocks that every query sees: sinks, global tokens
  std::uint64_t last = 0;     // blocks at the end that every query sees; not causal
  bool global_rows = false;   // queries of the first and last blocks see every key; not causal
  std::uint64_t summary = 0;  // keys at the end of every block that all later queries see
  std::uint64_t chosen = 0;   // further blocks by index, as far as there are so many
  bool per_query = false;     // each query has a list of its own; else `block` queries share one
  bool per_head = false;      // each query head has a list of its own; else those of a KV head share one
  // Key j stands at token j * step + span - 1: compressed keys, each of `span` tokens, a new one every `step`.
  std::uint64_t step = 1, span = 1;

  // Blocks that a query sees at most.
  [[nodiscard]] std::uint64_t blocks_seen() const { return local + first + last + chosen; }
};

struct KeySpan {
  std::uint64_t begin = 0, end = 0;
};

// What one query sees: disjoint ranges of keys in ascending order, then keys apart.
struct SeenKeys {
  std::array<KeySpan, 4> spans{};
  std::size_t count = 0;                  // of the ranges
  std::uint64_t summary = 0, chosen = 0;  // keys outside the ranges
  [[nodiscard]] std::uint64_t in_spans() const;
  [[nodiscard]] std::uint64_t total() const { return in_spans() + summary + chosen; }
};

// Of query `index` of q_len.
SeenKeys seen_keys(const SparseAttention& op, std::uint64_t index);

// Keys up to and including the token of query `index`; all of them when not causal.
std::uint64_t keys_before(const SparseAttention& op, std::uint64_t index);

// (query, key) pairs of one head of one sequence.
std::uint64_t attended_pairs(const SparseAttention& op);

// Keys of one KV head of one sequence that a pass reads at least: those that some query sees. Lists of chosen blocks
// are taken to be different from one another, as far as there are so many keys.
std::uint64_t visible_keys(const SparseAttention& op);

// Lists of chosen blocks of one sequence, and the blocks in each: no more than there are.
std::uint64_t index_lists(const SparseAttention& op);
std::uint64_t list_length(const SparseAttention& op);

}  // namespace lightcone::models
