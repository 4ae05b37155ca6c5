// SPDX-License-Identifier: Apache-2.0
// Attention to latents with warp instructions. Triton's split kernel (SGLang and vLLM, decode_attention.py,
// _fwd_grouped_kernel_stage1): 16 heads x 32 keys, the next keys copied meanwhile, a fixed number of key parts.
// TensorRT-LLM on Ampere (cpp/kernels/fmha_v2, 576 x 512): 64 heads x 64 keys, which fill shared memory, so that copies
// and products take turns, V is fetched once more after S, and keys are never split.
#include <algorithm>

#include "scenarios/mapping/attention_tiles.h"
#include "scenarios/mapping/mla_attention.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint8_t kK = 0, kQ = 1;
constexpr std::uint32_t kWarps = 4;
constexpr std::uint64_t kTritonParts = 4;  // num_kv_splits of vLLM

}  // namespace

AttentionPlan plan_sync_latent(const models::Attention& op, const GpuSpec& gpu, bool triton) {
  AttentionPlan plan = latent_tile(op, op.activation);
  plan.values_by_columns = false;
  plan.mma_sync = true;
  plan.longest_first = false;
  if (triton) {
    plan.rows = 16;
    plan.columns = 32;
    plan.warps = 1;  // the warps divide keys and values: each is read once
  } else {
    plan.stages = 1;
    plan.warps = kWarps;
  }
  shrink_to_fit(plan, gpu);
  if (triton && op.q_len == 1) {
    plan.splits = static_cast<std::uint32_t>(std::min(kTritonParts, ceil_div(op.kv_len, plan.columns)));
    plan.serial_combine = true;
  }
  plan.most_splits = plan.splits;
  return plan;
}

TileProgram sync_latent(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const AttentionLayout layout(op, plan, gpu);
  TileProgram program = layout.start("mma_sync_mla");
  program.threads_per_cta = 32 * kWarps;
  program.registers_per_thread = 255;
  const auto next = [&](std::uint32_t ahead) {
    std::vector<Op> ops;
    append(ops, AcquireStage{kK}, layout.load_k(kK, Var::loop1, ahead), CommitStage{kK});
    return ops;
  };
  const bool ahead = plan.stages > 1;  // the next keys are asked for before these are multiplied, or after
  std::vector<Op> fetch_values;
  if (!ahead) append(fetch_values, ReleaseStage{kK}, AcquireStage{kK}, layout.load_v(kK, Var::loop1), CommitStage{kK});
  const auto block = [&](bool last) {
    std::vector<Op> ops;
    append(ops, WaitStage{kK});
    if (ahead && !last) append(ops, next(1));
    append(ops, layout.scores(0, 1, Var::loop1, 0), MmaWait{0}, fetch_values,
           layout.softmax(1, last ? Score::masked : Score::plain), layout.rescale(1));
    if (!ahead) append(ops, WaitStage{kK});
    append(ops, layout.values(0, 1, Var::loop1), MmaWait{0}, ReleaseStage{kK});
    if (!ahead && !last) append(ops, next(1));
    return ops;
  };
  Role role{"warps", kWarps, {}};
  append(role.ops, layout.set_up(), AcquireStage{kQ}, layout.load_q(kQ), CommitStage{kQ}, AcquireStage{kK},
         layout.load_k(kK, Var::loop0, 0), CommitStage{kK}, WaitStage{kQ}, LoopBegin{1}, block(false), LoopEnd{},
         block(true), ReleaseStage{kQ}, layout.finish(0, 1, CopyPath::lsu));
  program.classes = {{"tile", {role}, {{"k", plan.stages, 1}, {"q", 1, 1}}}};
  program.groups = layout.groups();
  return program;
}

}  // namespace lightcone::scenarios
