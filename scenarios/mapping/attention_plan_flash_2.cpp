// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_tiles.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// csrc/flash_attn: flash_fwd_launch_template.h, run_mha_fwd_hdim* and run_mha_fwd_splitkv_dispatch.
constexpr TileRow kFlash2[] = {{64, 128, 128, 64, 64, 64, 4},
                               {96, 128, 64, 64, 64, 64, 4},
                               {128, 128, 64, 64, 64, 64, 4},
                               {192, 128, 64, 64, 64, 64, 8},
                               {256, 128, 64, 64, 64, 64, 8}};
constexpr TileRow kFlash2Split[] = {{64, 64, 256, 256, 256, 256, 4},
                                    {96, 64, 128, 128, 128, 128, 4},
                                    {128, 64, 128, 128, 128, 128, 4},
                                    {192, 64, 64, 64, 64, 64, 4},
                                    {256, 64, 64, 64, 64, 64, 4}};

AttentionPlan synchronous(const models::Attention& op, const GpuSpec& gpu, const TileRow& row) {
  AttentionPlan plan = plan_tile(op, multiply_format(op, gpu), row);
  plan.mma_sync = true;
  plan.stages = 1;
  shrink_to_fit(plan, gpu);
  return plan;
}

}  // namespace

AttentionPlan plan_flash_2(const models::Attention& op, const GpuSpec& gpu) {
  return synchronous(op, gpu, row_for(kFlash2, op.head_dim));
}

AttentionPlan plan_flash_2_split(const models::Attention& op, const GpuSpec& gpu, bool splits_ungrouped) {
  AttentionPlan plan = synchronous(op, gpu, row_for(kFlash2Split, op.head_dim));
  plan.serial_combine = true;
  const std::uint64_t group = query_heads_per_kv_head(op);
  if (!few_queries(op, row_for(kFlash2, op.head_dim).rows)) return plan;  // a prefill: heads apart, keys whole
  plan.packed = group > 1;
  if (!plan.packed && !splits_ungrouped) return plan;
  const std::uint64_t tiles = op.batch * op.kv_heads * ceil_div(op.q_len * group, plan.rows);
  plan.splits =
      split_heuristic(tiles, gpu.sm_count * 2ull, ceil_div(keys_in_window(op), plan.columns), SplitRule::even);
  plan.most_splits = plan.splits;
  plan.packed = plan.packed || plan.splits > 1;
  return plan;
}

}  // namespace lightcone::scenarios
