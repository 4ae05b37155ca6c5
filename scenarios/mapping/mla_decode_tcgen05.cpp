// SPDX-License-Identifier: Apache-2.0
// Attention to latents on Blackwell, as trtllm-gen runs it (FlashInfer and TensorRT-LLM, fmhaKernels:
// selectMlaGeneration- Kernel, computeCtaAndClusterConfig): up to 32 heads, or few keys per CTA, with K as the left
// operand and 8 or 16 heads of a CTA as columns; otherwise 64 heads of a CTA as rows, of which two share the tiles of K
// where there are 128.
#include <algorithm>

#include "scenarios/mapping/attention_tiles.h"
#include "scenarios/mapping/mla_attention.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint8_t kK = 0, kQ = 1;
constexpr std::uint64_t kMostSwapped = 32, kSwappedRows = 16, kFewSwappedRows = 8;
constexpr std::uint32_t kMostStages = 4;
constexpr std::uint32_t kPairHeads = 128;

// useSwapsMmaAbMlaGenKernel: the keys of a CTA are few, and the GPU holds all CTAs at once.
bool few_keys_per_cta(const models::Attention& op, const GpuSpec& gpu) {
  constexpr std::uint64_t kStep = 256, kFewKeys = 1024;
  const std::uint64_t ctas = op.batch * op.q_len * ceil_div(op.heads, kSwappedRows);
  if (ctas > gpu.sm_count) return false;
  const std::uint64_t parts = std::min(ceil_div(op.kv_len, kStep), gpu.sm_count / ctas);
  return ceil_div(op.kv_len, parts) <= kFewKeys;
}

bool in_pairs(const AttentionPlan& plan) { return plan.rows == kPairHeads / 2; }

LoadTile shared_by_pair(LoadTile load, const AttentionPlan& plan) {
  if (in_pairs(plan)) {
    load.multicast = 2;
    load.split_over_pair = true;
  }
  return load;
}

// Shared memory holds, and its own product reads, half of the operand that a pair shares.
Bytes shared_memory_of_one(AttentionPlan plan) {
  if (in_pairs(plan)) plan.columns /= 2;
  return shared_memory(plan);
}

Mma shared_by_pair(Mma mma, std::uint64_t operand_bytes, const AttentionPlan& plan) {
  if (in_pairs(plan)) mma.shared_read_bytes -= operand_bytes / 2;
  return mma;
}

}  // namespace

AttentionPlan plan_trtllm_gen_latent(const models::Attention& op, const GpuSpec& gpu) {
  AttentionPlan plan = latent_tile(op, multiply_format(op, gpu));
  plan.values_by_columns = false;
  plan.bulk_pages = plan.bulk_queries = true;
  const bool swapped = op.heads <= kMostSwapped || few_keys_per_cta(op, gpu);
  // A product of 64 rows occupies half of the tensor core, but not that of two CTAs together.
  plan.rows = !swapped ? (op.heads == kPairHeads ? kPairHeads / 2 : kPairHeads)
                       : static_cast<std::uint32_t>(op.heads <= kFewSwappedRows ? kFewSwappedRows : kSwappedRows);
  plan.columns = 128;
  if (in_pairs(plan)) plan.columns /= 2;  // of each CTA of a pair
  for (plan.stages = kMostStages; plan.stages > 2 && shared_memory(plan) > gpu.sm.shared_memory_per_cta;) --plan.stages;
  shrink_to_fit(plan, gpu);
  if (in_pairs(plan)) plan.columns *= 2;
  const std::uint64_t heads_per_cta = plan.rows == kPairHeads ? 64 : plan.rows;
  const std::uint64_t ctas = op.batch * op.q_len * ceil_div(op.heads, heads_per_cta);
  constexpr std::uint64_t kFewestKeys = 256;
  plan.splits = static_cast<std::uint32_t>(
      std::min(ceil_div(op.kv_len, kFewestKeys), std::max<std::uint64_t>(1, gpu.sm_count / ctas)));
  plan.most_splits = plan.splits;
  return plan;
}

TileProgram trtllm_gen_latent(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const AttentionLayout layout(op, plan, gpu);
  TileProgram program = layout.start("trtllm_gen_mla");
  program.shared_memory_per_cta = shared_memory_of_one(plan);
  const std::uint64_t keys = plan.columns * storage(plan.multiply, plan.head_dim).count();
  const std::uint64_t sums = plan.columns * storage(plan.multiply, plan.v_dim()).count();
  const auto scores = [&](std::uint32_t ahead) {
    return shared_by_pair(layout.scores(0, 1, Var::loop1, ahead), keys, plan);
  };
  const Mma values = shared_by_pair(layout.values(0, 1, Var::loop1), sums, plan);
  program.persistent = plan.splits == 1;
  program.threads_per_cta = 32 * 9;
  program.registers_per_thread = 168;
  if (in_pairs(plan)) program.cluster_size = 2;
  Role producer{"producer", 1, {}};
  append(producer.ops, layout.set_up(), AcquireStage{kQ}, layout.load_q(kQ), CommitStage{kQ}, LoopBegin{0},
         AcquireStage{kK}, shared_by_pair(layout.load_k(kK, Var::loop0, 0), plan), CommitStage{kK}, LoopEnd{});
  // The scores of the next block are queued before this block's values; a tile of K stays until both are done.
  Role consumer{"consumer", 8, {}};
  append(consumer.ops, WaitStage{kQ}, WaitStage{kK}, scores(0), MmaWait{0}, layout.softmax(1, Score::masked),
         LoopBegin{1}, WaitStage{kK}, scores(1), values, MmaWait{1}, layout.softmax(1, Score::plain), MmaWait{0},
         ReleaseStage{kK}, layout.rescale(1), LoopEnd{}, values, MmaWait{0}, ReleaseStage{kK}, ReleaseStage{kQ},
         layout.finish(0, 1, CopyPath::lsu));
  program.classes = {{"tile", {producer, consumer}, {{"k", plan.stages, 1}, {"q", 1, 1}}}};
  program.groups = layout.groups();
  return program;
}

}  // namespace lightcone::scenarios
