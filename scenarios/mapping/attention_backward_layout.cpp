// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_backward_layout.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kSumBytes = 4;          // fp32
constexpr std::uint64_t kMaskIntOps = 2;        // compare and select
constexpr std::uint64_t kStatisticCycles = 30;  // a row's statistics from shared memory

enum TensorIndex : std::uint32_t { kQ, kK, kV, kDo, kLse, kSums, kDq, kDk, kDv };

}  // namespace

AttentionBackwardLayout::AttentionBackwardLayout(const models::Attention& op, const AttentionBackwardPlan& plan,
                                                 const GpuSpec& gpu)
    : op_(op), plan_(plan), group_(op.heads / op.kv_heads), sm_count_(gpu.sm_count) {
  keys_ = !op.causal && op.window > 0 ? std::min(op.window, op.kv_len) : op.kv_len;
  window_ = op.causal && op.window < op.kv_len ? op.window : 0;
  key_blocks_ = ceil_div(keys_, plan.columns);
  // cp.async, which FlashAttention-2 uses, goes through the load/store unit where there is TMA.
  bulk_ = !plan.mma_sync || gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync;

  // [sequence, position, head, value] as the forward pass keeps them; the head is that of the query.
  const auto by_position = [&](std::uint32_t tensor, std::uint64_t positions, std::uint64_t rows, std::uint64_t heads,
                               std::uint64_t row, bool of_queries) {
    MatrixView view{tensor, rows, row, heads * row, {}, 0};
    view.outer = {Term{Var::cta2, stride((of_queries ? group_ : 1) * row)},
                  Term{Var::cta3, stride(positions * heads * row)}, of_queries ? Term{Var::cta1, stride(row)} : Term{}};
    return view;
  };
  // fp32, [sequence, head, position, value].
  const auto by_head = [&](std::uint32_t tensor, std::uint64_t rows, std::uint64_t heads, std::uint64_t row,
                           bool of_queries) {
    MatrixView view{tensor, rows, row, row, {}, 0};
    view.outer = {Term{Var::cta2, stride((of_queries ? group_ : 1) * rows * row)},
                  Term{Var::cta3, stride(heads * rows * row)},
                  of_queries ? Term{Var::cta1, stride(rows * row)} : Term{}};
    return view;
  };
  const std::uint64_t key_row = storage(op.activation, op.head_dim).count();
  const std::uint64_t value_row = storage(op.activation, op.v_dim()).count();
  q_ = by_position(kQ, op.q_len, op.q_len, op.heads, key_row, true);
  do_ = by_position(kDo, op.q_len, op.q_len, op.heads, value_row, true);
  k_ = by_position(kK, op.kv_len, keys_, op.kv_heads, key_row, false);
  v_ = by_position(kV, op.kv_len, keys_, op.kv_heads, value_row, false);
  dq_ = by_head(kDq, op.q_len, op.heads, op.head_dim * kSumBytes, true);
  if (plan.sums_kv_heads) {
    dk_ = by_head(kDk, keys_, op.kv_heads, op.head_dim * kSumBytes, false);
    dv_ = by_head(kDv, keys_, op.kv_heads, op.v_dim() * kSumBytes, false);
  } else {
    dk_ = by_position(kDk, op.kv_len, keys_, op.heads, key_row, true);
    dv_ = by_position(kDv, op.kv_len, keys_, op.heads, value_row, true);
  }
  const std::uint64_t queries = op.batch * op.q_len * op.heads, all_keys = op.batch * op.kv_len * op.kv_heads;
  const std::uint64_t out_keys = plan.sums_kv_heads ? all_keys : op.batch * op.kv_len * op.heads;
  const auto tensor = [&](const char* label, std::uint64_t rows, std::uint64_t row, Residency where, bool written) {
    tensors_.push_back({label, Bytes(rows * row), where, written});
  };
  tensor("q", queries, key_row, Residency::cold, false);
  tensor("k", all_keys, key_row, Residency::cold, false);
  tensor("v", all_keys, value_row, Residency::cold, false);
  tensor("output_gradient", queries, value_row, Residency::warm, false);
  tensor("log_sum_exp", queries, kSumBytes, Residency::warm, false);
  tensor("row_sums", queries, kSumBytes, Residency::warm, false);
  tensor("dq_workspace", queries, op.head_dim * kSumBytes, Residency::warm, true);
  const char* dk = plan.sums_kv_heads ? "dk_workspace" : group_ > 1 ? "dk_of_heads_workspace" : "dk";
  const char* dv = plan.sums_kv_heads ? "dv_workspace" : group_ > 1 ? "dv_of_heads_workspace" : "dv";
  tensor(dk, out_keys, dk_.row_bytes, Residency::warm, true);
  tensor(dv, out_keys, dv_.row_bytes, Residency::warm, true);
}

TileProgram AttentionBackwardLayout::start(const std::string& kernel) const {
  TileProgram program;
  program.name = fmt::format("{}_{}_hd{}{}_{}x{}{}{}", kernel, name(op_.activation), plan_.head_dim,
                             plan_.value_dim == plan_.head_dim ? "" : fmt::format("_v{}", plan_.value_dim), plan_.rows,
                             plan_.columns, op_.causal ? "_causal" : "", window_ > 0 ? "_window" : "");
  program.tensors = tensors_;
  program.shared_memory_per_cta = shared_memory(plan_);
  return program;
}

LoopRange AttentionBackwardLayout::queries_of(std::uint64_t key_block) const {
  const auto rows = static_cast<std::int64_t>(plan_.rows), last_query = static_cast<std::int64_t>(op_.q_len) - 1;
  std::int64_t first = 0, last = last_query;
  if (op_.causal) {
    const auto diagonal = static_cast<std::int64_t>(op_.kv_len) - static_cast<std::int64_t>(op_.q_len);
    const auto first_key = static_cast<std::int64_t>(key_block * plan_.columns);
    const auto last_key = static_cast<std::int64_t>(std::min((key_block + 1) * plan_.columns, keys_)) - 1;
    first = std::clamp<std::int64_t>(first_key - diagonal, 0, last_query);
    if (window_ > 0) {
      last = std::clamp<std::int64_t>(last_key - diagonal + static_cast<std::int64_t>(window_) - 1, first, last_query);
    }
  }
  return {first / rows, last / rows - first / rows + 1};
}

// The plain grid has the key blocks of a head next to each other: as few heads at once as fill the GPU. Under a causal
// mask FlashAttention-3 starts the longest blocks of as many heads as fit the L2 with their Q, dO and dQ
// (hopper/tile_scheduler.hpp, SingleTileBwdLPTScheduler).
std::uint64_t AttentionBackwardLayout::heads_at_once(std::uint64_t runs) const {
  constexpr std::uint64_t kHeldInL2 = 50u << 20;
  constexpr std::uint64_t kMostGroups = 1024;
  const std::uint64_t one_head = op_.q_len * (q_.row_bytes + do_.row_bytes + op_.head_dim * kSumBytes) * group_;
  const std::uint64_t filling = ceil_div(2ull * sm_count_, key_blocks_ * group_);
  const std::uint64_t at_once = plan_.mma_sync ? filling : std::max(filling, kHeldInL2 / one_head);
  return std::max<std::uint64_t>({at_once, 1, ceil_div(op_.kv_heads * op_.batch * runs, kMostGroups)});
}

std::vector<CtaGroup> AttentionBackwardLayout::groups() const {
  if (key_blocks_ > UINT32_MAX || op_.batch > UINT32_MAX || op_.heads > UINT32_MAX) {
    throw ConfigError("attention backward: a dimension of the grid is larger than 2^32");
  }
  struct Run {
    std::uint64_t block, blocks;
    LoopRange queries;
  };
  std::vector<Run> runs;
  for (std::uint64_t block = 0; block < key_blocks_;) {
    const LoopRange queries = queries_of(block);
    std::uint64_t blocks = op_.causal ? 1 : key_blocks_;
    while (block + blocks < key_blocks_) {
      const LoopRange next = queries_of(block + blocks);
      if (next.first != queries.first || next.count != queries.count) break;
      ++blocks;
    }
    runs.push_back({block, blocks, queries});
    block += blocks;
  }
  std::vector<CtaGroup> groups;
  const auto add = [&](std::uint64_t head, std::uint64_t heads, std::uint64_t sequence, std::uint64_t sequences) {
    for (const Run& run : runs) {
      CtaGroup group;
      group.extent = {static_cast<std::uint32_t>(run.blocks), static_cast<std::uint32_t>(group_),
                      static_cast<std::uint32_t>(heads), static_cast<std::uint32_t>(sequences)};
      group.origin = {static_cast<std::int64_t>(run.block), 0, static_cast<std::int64_t>(head),
                      static_cast<std::int64_t>(sequence)};
      group.loops = {run.queries, LoopRange{run.queries.first, run.queries.count - 1}};
      groups.push_back(group);
    }
  };
  const std::uint64_t at_once = heads_at_once(runs.size());
  if (runs.size() == 1 || at_once >= op_.kv_heads * op_.batch) {
    add(0, op_.kv_heads, 0, op_.batch);
  } else if (at_once >= op_.kv_heads) {
    const std::uint64_t step = at_once / op_.kv_heads;
    for (std::uint64_t s = 0; s < op_.batch; s += step) add(0, op_.kv_heads, s, std::min(step, op_.batch - s));
  } else {
    for (std::uint64_t s = 0; s < op_.batch; ++s) {
      for (std::uint64_t h = 0; h < op_.kv_heads; h += at_once) add(h, std::min(at_once, op_.kv_heads - h), s, 1);
    }
  }
  return groups;
}

LoadTile AttentionBackwardLayout::load(std::uint8_t pipe, const Box& box) const {
  return {pipe, box, bulk_ ? CopyPath::bulk : CopyPath::lsu, 1};
}

LoadTile AttentionBackwardLayout::load_k(std::uint8_t pipe) const {
  return load(pipe, tile_box(k_, Var::cta0, plan_.columns));
}
LoadTile AttentionBackwardLayout::load_v(std::uint8_t pipe) const {
  return load(pipe, tile_box(v_, Var::cta0, plan_.columns));
}
LoadTile AttentionBackwardLayout::load_q(std::uint8_t pipe, Var loop, std::uint32_t ahead) const {
  Box box = tile_box(q_, loop, plan_.rows);
  box.first_row = std::uint64_t{ahead} * plan_.rows;
  return load(pipe, box);
}
LoadTile AttentionBackwardLayout::load_do(std::uint8_t pipe, Var loop, std::uint32_t ahead) const {
  Box box = tile_box(do_, loop, plan_.rows);
  box.first_row = std::uint64_t{ahead} * plan_.rows;
  return load(pipe, box);
}

Box AttentionBackwardLayout::statistic(std::uint32_t tensor, Var loop, std::uint32_t ahead) const {
  const std::uint64_t row = op_.q_len * kSumBytes;
  MatrixView view{tensor, 1, row, row, {}, 0};
  view.outer = {Term{Var::cta2, stride(group_ * row)}, Term{Var::cta3, stride(op_.heads * row)},
                Term{Var::cta1, stride(row)}};
  Box box = tile_box(view, Var::none, 1, loop, plan_.rows * kSumBytes);
  box.first_column_byte = ahead * plan_.rows * kSumBytes;
  return box;
}
Box AttentionBackwardLayout::log_sum_exp(Var loop, std::uint32_t ahead) const { return statistic(kLse, loop, ahead); }
Box AttentionBackwardLayout::row_sums(Var loop, std::uint32_t ahead) const { return statistic(kSums, loop, ahead); }

Mma AttentionBackwardLayout::pairs(Var loop, std::uint32_t share, std::uint32_t shares, std::uint64_t width,
                                   std::uint64_t padded, std::uint64_t shared_bytes) const {
  Mma mma;
  mma.m = plan_.rows;
  mma.n = plan_.columns / shares;
  mma.k = static_cast<std::uint32_t>(padded);
  mma.format = op_.activation;
  mma.shared_read_bytes = shared_bytes;
  UsefulPart& useful = mma.useful;
  useful.m_var = loop;
  useful.m_step = plan_.rows;
  useful.m_extent = op_.q_len;
  useful.n_var = Var::cta0;
  useful.n_step = plan_.columns;
  useful.n_first = std::uint64_t{share} * mma.n;
  useful.n_extent = keys_;
  useful.k_extent = width;
  useful.mask = op_.causal ? MaskKind::causal : MaskKind::none;
  useful.diagonal = static_cast<std::int64_t>(op_.kv_len) - static_cast<std::int64_t>(op_.q_len);
  useful.window = window_;
  return mma;
}

Mma AttentionBackwardLayout::over_keys(Var loop, std::uint32_t share, std::uint32_t shares,
                                       std::uint64_t shared_bytes) const {
  return pairs(loop, share, shares, op_.head_dim, plan_.head_dim, shared_bytes);
}
Mma AttentionBackwardLayout::over_values(Var loop, std::uint32_t share, std::uint32_t shares,
                                         std::uint64_t shared_bytes) const {
  return pairs(loop, share, shares, op_.v_dim(), plan_.value_dim, shared_bytes);
}

VectorWork AttentionBackwardLayout::probabilities(std::uint32_t shares) const {
  const std::uint64_t scores = std::uint64_t{plan_.rows} * plan_.columns / shares;
  // One FMA scales and subtracts; two values per conversion.
  return lane_work(scores, scores / 2, scores, kStatisticCycles, 2 * scores);
}

VectorWork AttentionBackwardLayout::score_gradients(std::uint32_t shares) const {
  const std::uint64_t scores = std::uint64_t{plan_.rows} * plan_.columns / shares;
  return lane_work(2 * scores, scores / 2, 0, kStatisticCycles, 2 * scores);
}

VectorWork AttentionBackwardLayout::masks(std::uint32_t shares) const {
  if (!op_.causal) return {};
  const std::uint64_t scores = std::uint64_t{plan_.rows} * plan_.columns / shares;
  const std::uint64_t tiles = ceil_div(plan_.columns, plan_.rows) + 1;
  return lane_work(0, kMaskIntOps * scores * tiles * (window_ > 0 ? 2 : 1), 0, 0);
}

GlobalStore AttentionBackwardLayout::add_dq(Var loop, std::uint32_t share, std::uint32_t shares, CopyPath path) const {
  const std::uint64_t width = ceil_div(dq_.row_bytes, shares);
  Box box = tile_box(dq_, loop, plan_.rows, Var::none, width);
  box.first_column_byte = share * width;
  return {box, path};
}

std::vector<Op> AttentionBackwardLayout::finish(std::uint32_t share, std::uint32_t shares, CopyPath path) const {
  const std::uint64_t rows = plan_.columns / shares;
  const auto part = [&](const MatrixView& view) {
    Box box = tile_box(view, Var::cta0, rows);
    box.row_step = plan_.columns;
    box.first_row = std::uint64_t{share} * rows;
    return box;
  };
  const std::uint64_t values = rows * (plan_.head_dim + plan_.value_dim);
  const std::uint64_t bytes = rows * (dk_.row_bytes + dv_.row_bytes);
  VectorWork convert = lane_work(values + rows * plan_.head_dim, values / 2, 0, 0, rows * op_.head_dim);
  return {convert, SharedAccess{path == CopyPath::lsu ? bytes : 0, bytes}, GlobalStore{part(dk_), path},
          GlobalStore{part(dv_), path}};
}

}  // namespace lightcone::scenarios
