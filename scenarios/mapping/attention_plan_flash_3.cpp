// SPDX-License-Identifier: Apache-2.0
// FlashAttention-3 (flash-attention repository, hopper/: tile_size.h, heuristics.h, flash_api.cpp,
// flash_prepare_scheduler.cu), and the fork that vLLM builds (vllm-project/flash-attention, the same files): other
// tiles, one warpgroup for few rows, and two-level accumulation of 8-bit products (its pull request 104).
#include <cmath>

#include "scenarios/mapping/attention_tiles.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr TileRow kFlash3[] = {{64, 192, 192, 128, 128, 128, 12},
                               {96, 192, 144, 144, 128, 128, 12},
                               {128, 128, 176, 128, 128, 128, 8},
                               {192, 128, 112, 112, 96, 96, 8},
                               {256, 128, 80, 80, 64, 80, 8}};
constexpr TileRow kFlash3Narrow[] = {{64, 192, 160, 160, 160, 160, 12},
                                     {96, 192, 128, 128, 128, 128, 12},
                                     {128, 128, 224, 224, 224, 160, 8},
                                     {192, 128, 160, 160, 128, 160, 8},
                                     {256, 128, 128, 128, 64, 128, 8}};
constexpr TileRow kFork[] = {{64, 192, 192, 128, 160, 160, 12},
                             {96, 192, 144, 144, 128, 128, 12},
                             {128, 128, 160, 128, 128, 128, 8},
                             {192, 128, 96, 96, 96, 96, 8},
                             {256, 128, 80, 80, 64, 80, 8}};
constexpr TileRow kForkNarrow[] = {{64, 192, 128, 128, 128, 128, 12},
                                   {96, 128, 128, 128, 128, 128, 8},
                                   {128, 128, 192, 192, 192, 192, 8},
                                   {192, 128, 96, 96, 96, 96, 8},
                                   {256, 128, 128, 128, 64, 128, 8}};
// Keys of 192 with values of up to 128 leave room for wider blocks (both; headdim_v <= 128).
constexpr TileRow kNarrowValues[] = {{192, 128, 128, 128, 96, 96, 8}};
// Its kernels of one warpgroup, of head_dim 64 and 128.
constexpr TileRow kForkOne[] = {{64, 64, 192, 192, 192, 192, 4}, {128, 64, 176, 128, 128, 128, 4}};
constexpr TileRow kForkOneNarrow[] = {{64, 64, 128, 128, 128, 128, 4}, {128, 64, 96, 96, 96, 96, 4}};
// FlashAttention-4: two tiles of 128 rows; one where O fills the tensor memory.
constexpr TileRow kBlackwell[] = {{64, 256, 128, 128, 128, 128, 8},
                                  {96, 256, 128, 128, 128, 128, 8},
                                  {128, 256, 128, 128, 128, 128, 8},
                                  {192, 256, 64, 64, 64, 64, 8},
                                  {256, 128, 64, 64, 64, 64, 4}};
// tile_size_fwd_sm8x, kernels that do not split, and those that do.
constexpr TileRow kSync[] = {{64, 128, 112, 112, 96, 112, 4},
                             {96, 128, 64, 64, 48, 64, 4},
                             {128, 128, 64, 64, 48, 64, 4},
                             {192, 128, 96, 96, 64, 64, 8},
                             {256, 128, 96, 96, 64, 96, 8}};
constexpr TileRow kSyncSplit[] = {{64, 128, 80, 80, 80, 80, 4},
                                  {96, 128, 48, 48, 48, 48, 4},
                                  {128, 128, 112, 112, 96, 112, 8},
                                  {192, 128, 64, 64, 64, 64, 8},
                                  {256, 128, 64, 64, 64, 64, 8}};

const TileRow& hopper_row(const models::Attention& op, NumberFormat multiply, bool fork) {
  const bool narrow = info(multiply).bits <= 8;
  if (!narrow && op.head_dim > 128 && op.head_dim <= 192 && op.v_dim() <= 128) return kNarrowValues[0];
  // heuristics.h, use_one_mma_wg.
  const bool one = fork && (op.head_dim == 64 || op.head_dim == 128) && op.window == 0 &&
                   op.q_len * query_heads_per_kv_head(op) <= 64;
  if (one) return narrow ? row_for(kForkOneNarrow, op.head_dim) : row_for(kForkOne, op.head_dim);
  if (fork) return narrow ? row_for(kForkNarrow, op.head_dim) : row_for(kFork, op.head_dim);
  return narrow ? row_for(kFlash3Narrow, op.head_dim) : row_for(kFlash3, op.head_dim);
}

// A server's FlashAttention-3 on wgmma: sequences of different lengths, heads of a group always packed.
AttentionPlan plan_serving(const models::Attention& op, const GpuSpec& gpu, bool fork) {
  const NumberFormat multiply = multiply_format(op, gpu);
  AttentionPlan plan = plan_tile(op, multiply, hopper_row(op, multiply, fork));
  plan.packed = query_heads_per_kv_head(op) > 1;
  plan.longest_first = op.causal;
  plan.whole_boxes = !op.paged;
  plan.transposes_v = info(multiply).bits == 8;
  plan.promotes = plan.transposes_v && fork;
  // IntraWGOverlap of tile_size.h; the promotion waits for the products at once (utils.h: gemm).
  const bool wide_pages = plan.transposes_v && plan.head_dim == 256 && op.paged;
  plan.softmax_in_turn = plan.promotes || wide_pages ||
                         (fork && !plan.transposes_v && plan.rows > 64 && plan.head_dim == 64 && op.window > 0);
  shrink_to_fit(plan, gpu);
  deal_to_sms(plan, op, gpu);
  return plan;
}

}  // namespace

// Sequences of different lengths: the host bounds the number of parts as if there were one sequence (flash_api.cpp,
// get_num_splits); a kernel before it then deals the key blocks evenly to the SMs, with a tenth to spare
// (flash_prepare_scheduler.cu). Where the bound is above one the merging kernel always runs.
void deal_to_sms(AttentionPlan& plan, const models::Attention& op, const GpuSpec& gpu) {
  const std::uint64_t tiles = ceil_div(op.q_len * query_heads_per_kv_head(op), plan.rows);
  const std::uint64_t keys = op.window > 0 ? std::min(op.kv_len, op.window + plan.rows) : op.kv_len;
  const std::uint64_t blocks = ceil_div(keys, plan.columns);
  plan.most_splits = split_heuristic(op.kv_heads * tiles, gpu.sm_count, blocks, SplitRule::any);
  const std::uint64_t whole = ceil_div(op.kv_len, plan.columns);
  const double all = 1.1 * static_cast<double>(op.batch * tiles * whole * op.kv_heads);
  const auto per_sm = static_cast<std::uint64_t>(std::ceil(all / gpu.sm_count));
  plan.splits = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(ceil_div(whole, per_sm), 1, plan.most_splits));
  plan.packed = plan.packed || plan.splits > 1;
}

AttentionPlan plan_flash_3(const models::Attention& op, const GpuSpec& gpu, KernelLibrary library) {
  const bool hopper = gpu.sm.tensor.generation == TensorCoreGeneration::wgmma;
  if (hopper && (library == KernelLibrary::vllm || library == KernelLibrary::sglang))
    return plan_serving(op, gpu, library == KernelLibrary::vllm);
  const NumberFormat multiply = multiply_format(op, gpu);
  const TileRow& row = hopper ? hopper_row(op, multiply, false) : row_for(kBlackwell, op.head_dim);
  AttentionPlan plan = plan_tile(op, multiply, row);
  const bool few = few_queries(op, row.rows);
  const std::uint64_t group = query_heads_per_kv_head(op);
  plan.packed = group > 1 && (few || hopper);
  plan.longest_first = op.causal;
  plan.transposes_v = hopper && info(multiply).bits == 8;
  plan.softmax_in_turn = plan.transposes_v && plan.head_dim == 256 && op.paged;
  const std::uint64_t rows = op.q_len * (plan.packed ? group : 1);
  if (few) {  // as many warpgroups as hold the rows
    plan.rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(round_up(rows, rows_per_share(gpu)), plan.rows));
    plan.warps = plan.rows / rows_per_share(gpu) * 4;
  }
  shrink_to_fit(plan, gpu);
  if (!few) return plan;
  const std::uint64_t tiles = op.batch * op.kv_heads * ceil_div(rows, plan.rows);
  plan.splits = split_heuristic(tiles, gpu.sm_count, std::max<std::uint64_t>(1, keys_in_window(op) / plan.columns),
                                SplitRule::any);
  plan.most_splits = plan.splits;
  plan.packed = plan.packed || plan.splits > 1;
  return plan;
}

AttentionPlan plan_flash_3_sync(const models::Attention& op, const GpuSpec& gpu) {
  const auto planned = [&](const TileRow& row) {
    AttentionPlan plan = plan_tile(op, multiply_format(op, gpu), row);
    plan.mma_sync = true;
    plan.stages = 1;
    plan.packed = query_heads_per_kv_head(op) > 1;
    shrink_to_fit(plan, gpu);
    deal_to_sms(plan, op, gpu);
    return plan;
  };
  const AttentionPlan plan = planned(row_for(kSync, op.head_dim));
  return plan.most_splits == 1 ? plan : planned(row_for(kSyncSplit, op.head_dim));
}

}  // namespace lightcone::scenarios
