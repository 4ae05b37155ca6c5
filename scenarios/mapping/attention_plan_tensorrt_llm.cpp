// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_tiles.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// Two warpgroups of 64 rows, kv_loop_step keys (setup.py).
constexpr TileRow kHopper[] = {
    {64, 128, 256, 256, 256, 256, 8}, {128, 128, 128, 128, 128, 128, 8}, {256, 128, 64, 64, 64, 64, 8}};
constexpr TileRow kHopperNarrow[] = {
    {64, 128, 256, 256, 256, 256, 8}, {128, 128, 256, 256, 256, 256, 8}, {256, 128, 128, 128, 128, 128, 8}};
constexpr TileRow kBlackwell[] = {{64, 256, 128, 128, 128, 128, 8},
                                  {96, 256, 128, 128, 128, 128, 8},
                                  {128, 256, 128, 128, 128, 128, 8},
                                  {192, 256, 64, 64, 64, 64, 8},
                                  {256, 128, 64, 64, 64, 64, 4}};
constexpr TileRow kSync[] = {{64, 64, 128, 64, 64, 64, 4},
                             {96, 64, 64, 64, 64, 64, 4},
                             {128, 64, 64, 64, 64, 64, 4},
                             {192, 64, 64, 64, 64, 64, 8},
                             {256, 64, 64, 64, 64, 64, 8}};
constexpr TileRow kSyncDecode[] = {{64, 64, 256, 256, 256, 256, 4},
                                   {96, 64, 128, 128, 128, 128, 4},
                                   {128, 64, 128, 128, 128, 128, 4},
                                   {192, 64, 64, 64, 64, 64, 4},
                                   {256, 64, 64, 64, 64, 64, 4}};
// mha_sm90.cu: one warpgroup each for Q K^T, for P V and for copies; 64 tokens (gemm0CtaTileNbTokens).
constexpr TileRow kXqa[] = {{64, 64, 64, 64, 64, 64, 4}, {128, 64, 64, 64, 64, 64, 4}, {256, 64, 64, 64, 64, 64, 4}};
constexpr std::uint64_t kRotatedValues = 128;  // of a head, at least which a fused rotation needs

const TileRow& fused_row(const models::Attention& op, const GpuSpec& gpu, NumberFormat multiply) {
  switch (gpu.sm.tensor.generation) {
    case TensorCoreGeneration::mma_sync:
      return few_queries(op, 128) ? row_for(kSyncDecode, op.head_dim) : row_for(kSync, op.head_dim);
    case TensorCoreGeneration::tcgen05:
      return row_for(kBlackwell, op.head_dim);
    case TensorCoreGeneration::wgmma:
      break;
  }
  return info(multiply).bits <= 8 ? row_for(kHopperNarrow, op.head_dim) : row_for(kHopper, op.head_dim);
}

}  // namespace

AttentionPlan plan_fused_mha(const models::Attention& op, const GpuSpec& gpu) {
  const TensorCoreGeneration generation = gpu.sm.tensor.generation;
  const NumberFormat multiply = multiply_format(op, gpu);
  const TileRow& row = fused_row(op, gpu, multiply);
  AttentionPlan plan = plan_tile(op, multiply, row);
  plan.mma_sync = generation == TensorCoreGeneration::mma_sync;
  plan.stages = plan.mma_sync ? 1 : 2;
  const std::uint64_t group = query_heads_per_kv_head(op);
  const bool few = few_queries(op, plan.mma_sync ? 128 : row.rows);
  plan.packed = few && group > 1;
  plan.longest_first = op.causal && !plan.mma_sync;
  plan.bulk_pages = true;
  plan.transposes_v = generation == TensorCoreGeneration::wgmma && info(multiply).bits == 8;
  plan.softmax_in_turn = generation == TensorCoreGeneration::wgmma;  // src/fmha/warpspec/compute.h
  const std::uint64_t rows = op.q_len * (plan.packed ? group : 1);
  if (few && !plan.mma_sync) {
    plan.rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(round_up(rows, rows_per_share(gpu)), plan.rows));
    plan.warps = plan.rows / rows_per_share(gpu) * 4;
  }
  shrink_to_fit(plan, gpu);
  if (!few) return plan;
  const std::uint64_t tiles = op.batch * op.kv_heads * ceil_div(rows, plan.rows);
  const std::uint64_t keys = keys_in_window(op);
  plan.splits =
      plan.mma_sync
          ? split_heuristic(tiles, gpu.sm_count * 2ull, ceil_div(keys, plan.columns), SplitRule::even)
          : split_heuristic(tiles, gpu.sm_count, std::max<std::uint64_t>(1, keys / plan.columns), SplitRule::any);
  plan.most_splits = plan.splits;
  plan.packed = plan.packed || plan.splits > 1;
  return plan;
}

AttentionPlan plan_masked_mha(const models::Attention& op) {
  AttentionPlan plan;
  plan.head_dim = static_cast<std::uint32_t>(op.head_dim);
  plan.rows = 1;
  plan.columns = 64;
  plan.warps = 8;
  plan.by_head = true;
  plan.multiply = op.activation;
  return plan;
}

AttentionPlan plan_xqa(const models::Attention& op, const GpuSpec& gpu) {
  AttentionPlan plan = plan_tile(op, multiply_format(op, gpu), row_for(kXqa, op.head_dim));
  plan.packed = true;
  plan.bulk_pages = true;
  plan.softmax_in_turn = true;
  plan.narrows_q = true;
  plan.ctas_per_sm = 2;
  // compileEngine.cpp, appliesRoPEInXqaKernel: the head holds all values that are rotated.
  plan.appends_cache = op.writes_kv_cache && op.head_dim >= kRotatedValues;
  shrink_to_fit(plan, gpu);
  const std::uint64_t tiles = op.batch * op.kv_heads;
  plan.splits = split_heuristic(tiles, std::uint64_t{gpu.sm_count} * plan.ctas_per_sm,
                                ceil_div(keys_in_window(op), plan.columns), SplitRule::even);
  plan.most_splits = plan.splits;
  return plan;
}

}  // namespace lightcone::scenarios
