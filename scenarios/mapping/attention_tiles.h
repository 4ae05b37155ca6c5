// SPDX-License-Identifier: Apache-2.0
// Tile tables of the attention kernels, and what every family does with a row of one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "scenarios/mapping/attention_plan.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

// "paged": pages that are no whole TMA box.
struct TileRow {
  std::uint32_t head_dim, rows, columns, causal_columns, local_columns, paged_columns, warps;
};

template <std::size_t n>
const TileRow& row_for(const TileRow (&rows)[n], std::uint64_t head_dim) {
  for (const TileRow& row : rows) {
    if (head_dim <= row.head_dim) return row;
  }
  throw ConfigError("attention: head_dim " + std::to_string(head_dim) + " is too wide; kernels go up to 256");
}

// fp8 caches are multiplied in fp8 where the tensor core does (the kernel takes quantised queries), else widened.
// Throws ConfigError when the tensor core takes neither.
NumberFormat multiply_format(const models::Attention& op, const hardware::GpuSpec& gpu);

// A plan of the tile for this shape.
AttentionPlan plan_tile(const models::Attention& op, NumberFormat multiply, const TileRow& row);

// FlashAttention-3 for sequences of different lengths: sets the number of key parts (and packs heads where it is above
// one).
void deal_to_sms(AttentionPlan& plan, const models::Attention& op, const hardware::GpuSpec& gpu);

// Narrows the tile until it fits shared memory. Throws ConfigError when none does.
void shrink_to_fit(AttentionPlan& plan, const hardware::GpuSpec& gpu);

inline std::uint64_t query_heads_per_kv_head(const models::Attention& op) { return op.heads / op.kv_heads; }

// All queries of a KV head fit one tile of `rows`, over a longer history: a decode step.
inline bool few_queries(const models::Attention& op, std::uint32_t rows) {
  return op.q_len * query_heads_per_kv_head(op) <= rows && op.q_len < op.kv_len;
}

// Keys that a query sees at most.
inline std::uint64_t keys_in_window(const models::Attention& op) {
  return op.window > 0 ? std::min(op.window, op.kv_len) : op.kv_len;
}

}  // namespace lightcone::scenarios
