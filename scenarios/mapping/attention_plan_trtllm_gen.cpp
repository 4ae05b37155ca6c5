// SPDX-License-Identifier: Apache-2.0
// Decode on Blackwell: the trtllm-gen kernels that TensorRT-LLM, vLLM and SGLang (through FlashInfer) launch there.
// They are shipped as binaries; tiles and schedule stand in their names and host code (FlashInfer,
// include/flashinfer/trtllm/fmha: ..._Q8Kv128PersistentSwapsAbForGen, GroupsHeadsQ, MultiCtasKv).
#include "scenarios/mapping/attention_tiles.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint32_t kMostRows = 64, kRowStep = 8;  // columns of the product once K is its left operand
constexpr std::uint32_t kMostStages = 8;
constexpr std::uint64_t kFewestKeysPerPart = 256;  // fmhaKernels.cuh, computeNumCtas

// K and V stages as far as shared memory goes.
std::uint32_t stages_that_fit(const AttentionPlan& plan, const GpuSpec& gpu) {
  AttentionPlan deeper = plan;
  for (deeper.stages = kMostStages; deeper.stages > 1 && shared_memory(deeper) > gpu.sm.shared_memory_per_cta;)
    --deeper.stages;
  return deeper.stages;
}

}  // namespace

AttentionPlan plan_trtllm_gen_decode(const models::Attention& op, const GpuSpec& gpu) {
  const std::uint64_t group = query_heads_per_kv_head(op), rows = op.q_len * group;
  AttentionPlan plan;
  plan.multiply = multiply_format(op, gpu);
  plan.head_dim = op.head_dim <= 64 ? 64 : op.head_dim <= 128 ? 128 : 256;
  plan.rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(round_up(rows, kRowStep), kMostRows));
  plan.columns = plan.head_dim == 256 ? 64 : 128;
  plan.warps = 4;
  plan.packed = true;
  plan.bulk_queries = true;
  plan.bulk_pages = true;
  plan.longest_first = false;
  plan.stages = stages_that_fit(plan, gpu);
  shrink_to_fit(plan, gpu);
  const std::uint64_t tiles = op.batch * op.kv_heads * ceil_div(rows, plan.rows);
  plan.splits = static_cast<std::uint32_t>(
      std::min(ceil_div(keys_in_window(op), kFewestKeysPerPart), std::max<std::uint64_t>(1, gpu.sm_count / tiles)));
  plan.most_splits = plan.splits;
  return plan;
}

}  // namespace lightcone::scenarios
