// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_program.h"

#include <algorithm>

#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// Pipes of a CTA, in the order in which they are declared.
constexpr std::uint8_t kK = 0, kV = 1, kQ = 2, kTurned = 3;

// Packed rows that are no TMA box are gathered by the warps that multiply them.
bool gathers_queries(const AttentionPlan& plan) { return plan.packed && !plan.bulk_queries; }

Role producer_role(const AttentionLayout& layout, bool loads_q) {
  Role role{"producer", 1, {}};
  append(role.ops, layout.set_up());
  if (loads_q) append(role.ops, AcquireStage{kQ}, layout.load_q(kQ), CommitStage{kQ});
  append(role.ops, LoopBegin{0}, AcquireStage{kK}, layout.load_k(kK, Var::loop0, 0), CommitStage{kK}, AcquireStage{kV},
         layout.load_v(kV, Var::loop0), CommitStage{kV}, LoopEnd{});
  return role;
}

// Warps that turn each block of V around for the 8-bit products.
Role transpose_role(const AttentionLayout& layout) {
  Role role{"transpose", 3, {}};  // of the producer's warpgroup, whose first warp fetches
  append(role.ops, LoopBegin{0}, WaitStage{kV}, AcquireStage{kTurned}, layout.transpose_v(), CommitStage{kTurned},
         ReleaseStage{kV}, LoopEnd{});
  return role;
}

// The next scores are queued before this block's values, so that softmax runs under the tensor core.
void overlapped_blocks(Role& role, const AttentionLayout& layout, std::uint8_t v, std::uint32_t share,
                       std::uint32_t shares) {
  append(role.ops, WaitStage{kK}, layout.scores(share, shares, Var::loop1, 0), MmaWait{0}, ReleaseStage{kK},
         layout.softmax(shares, Score::masked));
  append(role.ops, LoopBegin{1}, WaitStage{kK}, layout.scores(share, shares, Var::loop1, 1), WaitStage{v},
         layout.values(share, shares, Var::loop1), MmaWait{1}, ReleaseStage{kK}, layout.softmax(shares, Score::plain),
         MmaWait{0}, ReleaseStage{v}, layout.rescale(shares), LoopEnd{});
  append(role.ops, WaitStage{v}, layout.values(share, shares, Var::loop1), MmaWait{0}, ReleaseStage{v});
}

// Scores, softmax and values of a block one after the other; only the other warpgroup fills the gaps.
void blocks_in_turn(Role& role, const AttentionLayout& layout, std::uint8_t v, std::uint32_t share,
                    std::uint32_t shares) {
  const auto block = [&](Score score) {
    append(role.ops, WaitStage{kK}, layout.scores(share, shares, Var::loop1, 0), MmaWait{0}, ReleaseStage{kK},
           layout.softmax(shares, score), layout.rescale(shares), WaitStage{v},
           layout.values(share, shares, Var::loop1), MmaWait{0}, ReleaseStage{v}, layout.promote(share));
  };
  append(role.ops, LoopBegin{1});
  block(Score::plain);
  append(role.ops, LoopEnd{});
  block(Score::masked);
}

Role consumer_role(const AttentionLayout& layout, const AttentionPlan& plan, std::uint32_t share,
                   std::uint32_t shares) {
  Role role{"consumer" + std::to_string(share), 4, {}};
  const bool gathers = gathers_queries(plan);
  if (gathers) {
    append(role.ops, layout.set_up(), layout.gather_q(share, shares));
  } else {
    append(role.ops, WaitStage{kQ});
  }
  const std::uint8_t v = plan.transposes_v ? kTurned : kV;
  (plan.softmax_in_turn ? blocks_in_turn : overlapped_blocks)(role, layout, v, share, shares);
  if (!gathers) append(role.ops, ReleaseStage{kQ});
  append(role.ops, WaitStores{}, layout.finish(share, shares, plan.packed ? CopyPath::lsu : CopyPath::bulk));
  return role;
}

// mma.sync reaches five eighths of the rate of wgmma on Hopper (Luo et al. 2024, Dissecting the NVIDIA Hopper
// Architecture: 62.9 % of the peak): the rest is time of the tensor core without work.
std::vector<Op> synchronous_product(const Mma& mma, bool hopper) {
  std::vector<Op> ops{mma};
  if (!hopper) return ops;
  Mma rest = mma;
  rest.k = static_cast<std::uint32_t>(ceil_div(3 * std::uint64_t{mma.k}, 5));
  rest.shared_read_bytes = 0;
  rest.useful.m_extent = 0;
  ops.emplace_back(rest);
  return ops;
}

// One key block of FlashAttention-2 from the wait for K to the end of P V; `next` also fetches the next K.
std::vector<Op> synchronous_block(const AttentionLayout& layout, bool next, bool hopper) {
  std::vector<Op> ops;
  append(ops, WaitStage{kK}, AcquireStage{kV}, layout.load_v(kV, Var::loop1), CommitStage{kV},
         synchronous_product(layout.scores(0, 1, Var::loop1, 0), hopper), MmaWait{0}, ReleaseStage{kK}, WaitStage{kV});
  if (next) append(ops, AcquireStage{kK}, layout.load_k(kK, Var::loop1, 1), CommitStage{kK});
  append(ops, layout.softmax(1, next ? Score::plain : Score::masked), layout.rescale(1),
         synchronous_product(layout.values(0, 1, Var::loop1), hopper), MmaWait{0}, ReleaseStage{kV});
  return ops;
}

}  // namespace

TileProgram flash_attention_3(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const AttentionLayout layout(op, plan, gpu);
  const std::uint32_t shares = query_shares(plan, gpu);
  TileProgram program = layout.start("flash_attention_3");
  program.persistent = plan.ctas_per_sm == 1;
  program.threads_per_cta = 128 * (1 + shares);
  // setmaxnreg leaves the producer 24-56 registers and the consumers 160-256; launched with the mean. A CTA of one
  // consumer warpgroup takes 168 as well, so that no second one fits the SM.
  program.registers_per_thread = plan.ctas_per_sm > 1 ? 112 : shares <= 2 ? 168 : 128;
  CtaClass cta{"tile",
               {producer_role(layout, !gathers_queries(plan))},
               {{"k", plan.stages, shares}, {"v", plan.stages, plan.transposes_v ? 1 : shares}, {"q", 1, shares}}};
  if (plan.transposes_v) {
    cta.pipes.push_back({"v_transposed", plan.stages, shares});
    cta.roles.push_back(transpose_role(layout));
  }
  for (std::uint32_t share = 0; share < shares; ++share)
    cta.roles.push_back(consumer_role(layout, plan, share, shares));
  program.classes = {cta};
  program.groups = layout.groups();
  return program;
}

TileProgram flash_attention_2(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const AttentionLayout layout(op, plan, gpu);
  TileProgram program = layout.start("flash_attention_2");
  program.threads_per_cta = 32 * plan.warps;
  const std::uint64_t accumulators =
      std::uint64_t{plan.rows} * (plan.head_dim + plan.columns) / program.threads_per_cta;
  program.registers_per_thread =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(round_up(accumulators + 64, 8), 255));
  const bool hopper = gpu.sm.tensor.generation == TensorCoreGeneration::wgmma;
  Role role{"warps", plan.warps, {}};
  append(role.ops, layout.set_up(), AcquireStage{kQ}, layout.load_q(kQ), CommitStage{kQ}, AcquireStage{kK},
         layout.load_k(kK, Var::loop0, 0), CommitStage{kK}, WaitStage{kQ}, LoopBegin{1},
         synchronous_block(layout, true, hopper), LoopEnd{}, synchronous_block(layout, false, hopper), ReleaseStage{kQ},
         layout.finish(0, 1, CopyPath::lsu));
  program.classes = {{"tile", {role}, {{"k", 1, 1}, {"v", 1, 1}, {"q", 1, 1}}}};
  program.groups = layout.groups();
  return program;
}

}  // namespace lightcone::scenarios
