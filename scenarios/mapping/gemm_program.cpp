// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/gemm_program.h"

#include <algorithm>

#include "scenarios/mapping/gemm_layout.h"
#include "scenarios/mapping/op_list.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint32_t kWarpgroup = 128;  // threads
constexpr std::uint8_t kOperands = 0, kAccumulators = 1;

Role producer_role(const GemmLayout& layout) {
  Role role{"producer", 1, {}};
  append(role.ops, LoopBegin{0}, AcquireStage{kOperands}, layout.load_step(kOperands, Var::loop0, 0, CopyPath::bulk),
         CommitStage{kOperands}, LoopEnd{});
  return role;
}

// The main loop of a warpgroup: step k+1 is issued before step k is known to be finished.
std::vector<Op> pipelined_main_loop(const GemmLayout& layout, std::uint32_t share, std::uint32_t shares) {
  std::vector<Op> ops;
  append(ops, WaitStage{kOperands}, layout.multiply_step(share, shares, Var::loop0, 0), LoopBegin{1},
         WaitStage{kOperands}, layout.multiply_step(share, shares, Var::loop1, 0), MmaWait{1}, ReleaseStage{kOperands},
         LoopEnd{}, MmaWait{0}, ReleaseStage{kOperands});
  return ops;
}

Role consumer_role(const GemmLayout& layout, std::uint32_t share, std::uint32_t shares) {
  Role role{"consumer" + std::to_string(share), 4, {}};
  // The staging buffer is free again once the previous tile's store has left it.
  append(role.ops, layout.load_bias(share, shares), pipelined_main_loop(layout, share, shares), WaitStores{},
         layout.store_share(share, shares, CopyPath::bulk));
  return role;
}

// Registers per thread: the accumulators plus addresses, descriptors and operand fragments.
std::uint32_t registers_for(std::uint64_t accumulators, std::uint32_t others, std::uint32_t limit) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>((accumulators + others + 7) / 8 * 8, limit));
}

}  // namespace

TileProgram gemm_wgmma(const GemmProblem& problem, const GemmPlan& plan, const GpuSpec& gpu) {
  const GemmLayout layout(problem, plan, gpu);
  const std::uint32_t consumers = plan.tile.warps_rows / 4;
  TileProgram program = layout.start("wgmma");
  program.persistent = true;
  program.threads_per_cta = kWarpgroup * (1 + consumers);
  const std::uint64_t accumulators =
      std::uint64_t{plan.tile.rows} * plan.tile.columns / (std::uint64_t{consumers} * kWarpgroup);
  // Producer warps give most of their registers to the consumers (setmaxnreg): the mean over the CTA counts.
  program.registers_per_thread = registers_for((accumulators + 64) * consumers / (consumers + 1), 24,
                                               gpu.sm.registers / program.threads_per_cta / 8 * 8);
  program.shared_memory_per_cta =
      Bytes(plan.tile.stages * stage_bytes(problem, plan.tile) + epilogue_bytes(problem, plan.tile));
  CtaClass cta{"tile", {producer_role(layout)}, {Pipe{"operands", plan.tile.stages, consumers}}};
  for (std::uint32_t share = 0; share < consumers; ++share)
    cta.roles.push_back(consumer_role(layout, share, consumers));
  program.classes = {cta};
  program.groups = layout.groups(1, 0);
  return program;
}

TileProgram gemm_tcgen05(const GemmProblem& problem, const GemmPlan& plan, const GpuSpec& gpu) {
  const GemmLayout layout(problem, plan, gpu);
  TileProgram program = layout.start("tcgen05");
  program.persistent = true;
  program.threads_per_cta = 256;
  program.registers_per_thread = 128;
  program.shared_memory_per_cta =
      Bytes(plan.tile.stages * stage_bytes(problem, plan.tile) + epilogue_bytes(problem, plan.tile));
  Role multiply{"multiply", 1, {}};
  append(multiply.ops, AcquireStage{kAccumulators}, pipelined_main_loop(layout, 0, 1), CommitStage{kAccumulators});
  Role store{"store", 4, {}};
  append(store.ops, layout.load_bias(0, 1), WaitStage{kAccumulators}, WaitStores{},
         layout.store_share(0, 1, CopyPath::bulk), ReleaseStage{kAccumulators});
  // 512 columns of tensor memory hold two accumulator tiles of up to 256 columns.
  program.classes = {{"tile",
                      {producer_role(layout), multiply, store},
                      {Pipe{"operands", plan.tile.stages, 1}, Pipe{"accumulators", 2, 1}}}};
  program.groups = layout.groups(1, 0);
  return program;
}

TileProgram gemm_multistage(const GemmProblem& problem, const GemmPlan& plan, const GpuSpec& gpu) {
  const GemmLayout layout(problem, plan, gpu);
  // Stages in flight ahead of the multiply; a short k needs fewer.
  const auto ahead = static_cast<std::uint32_t>(std::min<std::uint64_t>(plan.tile.stages - 1, layout.fewest_steps()));
  const char* instruction = gpu.sm.tensor.generation == TensorCoreGeneration::wgmma ? "wgmma" : "mma_sync";
  TileProgram program = layout.start(problem.on_fp32_lanes            ? "ffma"
                                     : plan.warps == GemmWarps::alike ? instruction
                                                                      : "mma_sync");
  program.threads_per_cta = 32 * plan.tile.warps();
  const std::uint64_t accumulators = std::uint64_t{plan.tile.rows} * plan.tile.columns / program.threads_per_cta;
  program.registers_per_thread = registers_for(accumulators, 80, 255);
  program.shared_memory_per_cta =
      Bytes(std::max(plan.tile.stages * stage_bytes(problem, plan.tile), epilogue_bytes(problem, plan.tile)));
  Role role{"warps", plan.tile.warps(), {}};
  append(role.ops, layout.load_bias(0, 1));
  for (std::uint32_t step = 0; step < ahead; ++step) {
    append(role.ops, AcquireStage{kOperands}, layout.load_step(kOperands, Var::loop0, step, CopyPath::bulk),
           CommitStage{kOperands});
  }
  append(role.ops, LoopBegin{1}, WaitStage{kOperands}, layout.multiply_step(0, 1, Var::loop1, 0),
         AcquireStage{kOperands}, layout.load_step(kOperands, Var::loop1, ahead, CopyPath::bulk),
         CommitStage{kOperands}, MmaWait{0}, ReleaseStage{kOperands}, LoopEnd{});
  for (std::uint32_t step = 0; step < ahead; ++step) {
    append(role.ops, WaitStage{kOperands}, layout.multiply_step(0, 1, Var::loop1, step), MmaWait{0},
           ReleaseStage{kOperands});
  }
  // Triton turns the accumulators in shared memory first, so that whole lines are stored.
  append(role.ops, layout.store_share(0, 1, plan.warps == GemmWarps::alike ? CopyPath::bulk : CopyPath::lsu));
  program.classes = {{"tile", {role}, {Pipe{"operands", std::max(plan.tile.stages, ahead + 1), 1}}}};
  program.groups = layout.groups(0, ahead);
  return program;
}

std::vector<TileProgram> gemm_program(const GemmProblem& problem, const GemmPlan& plan, const GpuSpec& gpu) {
  const auto build = [&] {
    if (problem.on_fp32_lanes || plan.warps == GemmWarps::alike) return gemm_multistage(problem, plan, gpu);
    switch (gpu.sm.tensor.generation) {
      case TensorCoreGeneration::wgmma:
        return gemm_wgmma(problem, plan, gpu);
      case TensorCoreGeneration::tcgen05:
        return gemm_tcgen05(problem, plan, gpu);
      case TensorCoreGeneration::mma_sync:
        break;
    }
    return gemm_multistage(problem, plan, gpu);
  };
  std::vector<TileProgram> kernels{build()};
  if (plan.split > 1) kernels.push_back(split_k_reduce(problem, plan.split));
  return kernels;
}

}  // namespace lightcone::scenarios
