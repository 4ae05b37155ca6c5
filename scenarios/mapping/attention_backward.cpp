// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_backward.h"

#include <fmt/core.h>

#include <algorithm>

#include "hardware/machine/evaluate.h"
#include "scenarios/mapping/attention_backward_layout.h"
#include "scenarios/mapping/backward_rows.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/stream_program.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kElement = 2;         // bytes of an operand
constexpr std::uint64_t kSetUpCycles = 1500;  // assumed: that of the forward kernels
constexpr std::uint32_t kWarps = 8;           // of FlashAttention-2

// Pipes, in the order in which they are declared; dQ has one per warpgroup.
constexpr std::uint8_t kKv = 0, kQ = 1, kDo = 2, kDq = 3;

// ---- FlashAttention-2 ----------------------------------------------------------------------------------------

// Operands of each product from shared memory: every warp reads its rows of one and its columns of the other.
struct SyncReads {
  std::uint64_t scores, score_gradients, values, queries, keys;
  explicit SyncReads(const AttentionBackwardPlan& p) {
    const std::uint64_t q = kElement * p.rows * p.head_dim, d_o = kElement * p.rows * p.value_dim;
    const std::uint64_t k = kElement * p.columns * p.head_dim, v = kElement * p.columns * p.value_dim;
    const std::uint64_t p_or_ds = kElement * p.rows * p.columns;
    scores = kWarps / p.warps_scores * q + p.warps_scores * k;
    score_gradients = kWarps / p.warps_scores * d_o + (p.v_in_registers ? 0 : p.warps_scores * v);
    values = kWarps / p.warps_keys * p_or_ds + p.warps_keys * d_o;
    keys = kWarps / p.warps_keys * p_or_ds + p.warps_keys * q;
    queries = kWarps / p.warps_queries * p_or_ds + p.warps_queries * k;
  }
};

// One block of queries; `next` fetches the one after it.
std::vector<Op> sync_block(const AttentionBackwardLayout& layout, const AttentionBackwardPlan& plan, bool next) {
  const SyncReads reads(plan);
  const bool double_buffer = plan.stages_q > 1;
  const std::uint64_t narrowed = 2 * kElement * plan.rows * plan.columns;  // P and dS
  std::vector<Op> ops;
  append(ops, GlobalLoad{layout.log_sum_exp(Var::loop1, 0)}, GlobalLoad{layout.row_sums(Var::loop1, 0)}, WaitStage{kQ});
  if (next && double_buffer) append(ops, AcquireStage{kQ}, layout.load_q(kQ, Var::loop1, 1), CommitStage{kQ});
  append(ops, layout.over_keys(Var::loop1, 0, 1, reads.scores), MmaWait{0}, WaitLoads{}, layout.probabilities(1),
         WaitStage{kDo}, layout.over_values(Var::loop1, 0, 1, reads.score_gradients), MmaWait{0},
         layout.score_gradients(1), SharedAccess{0, narrowed}, layout.over_values(Var::loop1, 0, 1, reads.values),
         MmaWait{0}, ReleaseStage{kDo});
  if (next) append(ops, AcquireStage{kDo}, layout.load_do(kDo, Var::loop1, 1), CommitStage{kDo});
  append(ops, layout.over_keys(Var::loop1, 0, 1, reads.queries), MmaWait{0},
         layout.add_dq(Var::loop1, 0, 1, CopyPath::lsu), layout.over_keys(Var::loop1, 0, 1, reads.keys), MmaWait{0},
         ReleaseStage{kQ});
  if (next && !double_buffer) append(ops, AcquireStage{kQ}, layout.load_q(kQ, Var::loop1, 1), CommitStage{kQ});
  return ops;
}

TileProgram flash_2(const models::Attention& op, const AttentionBackwardPlan& plan, const GpuSpec& gpu) {
  const AttentionBackwardLayout layout(op, plan, gpu);
  TileProgram program = layout.start("flash_attention_2_backward");
  program.threads_per_cta = 32 * kWarps;
  program.registers_per_thread = 255;
  Role role{"warps", kWarps, {}};
  append(role.ops, Delay{kSetUpCycles}, AcquireStage{kKv}, layout.load_k(kKv), layout.load_v(kKv), CommitStage{kKv},
         AcquireStage{kQ}, layout.load_q(kQ, Var::loop0, 0), CommitStage{kQ}, AcquireStage{kDo},
         layout.load_do(kDo, Var::loop0, 0), CommitStage{kDo}, WaitStage{kKv}, LoopBegin{1},
         sync_block(layout, plan, true), LoopEnd{}, sync_block(layout, plan, false), layout.masks(1),
         layout.finish(0, 1, CopyPath::lsu), ReleaseStage{kKv});
  program.classes = {{"key_block", {role}, {{"kv", 1, 1}, {"q", plan.stages_q, 1}, {"do", 1, 1}}}};
  program.groups = layout.groups();
  return program;
}

// ---- FlashAttention-3 ----------------------------------------------------------------------------------------

// By one warpgroup: its keys are the rows of the instructions, 64 at a time; dQ is all rows by its columns.
struct GroupReads {
  std::uint64_t scores, score_gradients, values, queries, keys;
  explicit GroupReads(const AttentionBackwardPlan& p) {
    const std::uint64_t share = p.columns / p.warpgroups, instructions = std::max<std::uint64_t>(1, share / 64);
    const std::uint64_t q = kElement * p.rows * p.head_dim, d_o = kElement * p.rows * p.value_dim;
    const std::uint64_t p_or_ds = p.p_in_registers ? 0 : kElement * p.rows * share;
    scores = kElement * share * p.head_dim + instructions * q;
    score_gradients = (p.v_in_registers ? 0 : kElement * share * p.value_dim) + instructions * d_o;
    values = p_or_ds + instructions * d_o;
    keys = p_or_ds + instructions * q;
    queries = kElement * p.rows * p.columns + kElement * p.columns * p.head_dim / p.warpgroups;
  }
};

Role producer_role(const AttentionBackwardLayout& layout) {
  const auto statistic = [](std::uint8_t pipe, const Box& box) { return LoadTile{pipe, box, CopyPath::bulk, 1}; };
  Role role{"producer", 1, {}};
  append(role.ops, Delay{kSetUpCycles}, AcquireStage{kKv}, layout.load_k(kKv), layout.load_v(kKv), CommitStage{kKv},
         LoopBegin{0}, AcquireStage{kQ}, layout.load_q(kQ, Var::loop0, 0),
         statistic(kQ, layout.log_sum_exp(Var::loop0, 0)), CommitStage{kQ}, AcquireStage{kDo},
         layout.load_do(kDo, Var::loop0, 0), statistic(kDo, layout.row_sums(Var::loop0, 0)), CommitStage{kDo},
         LoopEnd{});
  return role;
}

std::uint8_t dq_pipe(std::uint32_t share) { return static_cast<std::uint8_t>(kDq + share); }

Role dq_role(const AttentionBackwardLayout& layout, std::uint32_t shares) {
  Role role{"dq_store", 1, {LoopBegin{0}}};
  for (std::uint32_t share = 0; share < shares; ++share) {
    append(role.ops, WaitStage{dq_pipe(share)}, layout.add_dq(Var::loop0, share, shares, CopyPath::bulk),
           ReleaseStage{dq_pipe(share)});
  }
  append(role.ops, LoopEnd{});
  return role;
}

Role consumer_role(const AttentionBackwardLayout& layout, const AttentionBackwardPlan& plan, std::uint32_t share) {
  const GroupReads reads(plan);
  const std::uint32_t shares = plan.warpgroups;
  const std::uint64_t narrowed = kElement * plan.rows * plan.columns / shares * (plan.p_in_registers ? 1 : 2);
  const std::uint64_t dq = 4ull * plan.rows * plan.head_dim / shares;
  constexpr std::uint8_t kWritten = 0;  // dS, and P where it goes through shared memory
  Role role{"consumer" + std::to_string(share), 4, {}};
  append(role.ops, WaitStage{kKv}, LoopBegin{0}, WaitStage{kQ},
         layout.over_keys(Var::loop0, share, shares, reads.scores), WaitStage{kDo},
         layout.over_values(Var::loop0, share, shares, reads.score_gradients), MmaWait{1}, layout.probabilities(shares),
         MmaWait{0}, layout.score_gradients(shares), SharedAccess{0, narrowed});
  if (!plan.p_in_registers) append(role.ops, CtaBarrier{kWritten});
  append(role.ops, layout.over_values(Var::loop0, share, shares, reads.values));
  if (plan.p_in_registers) append(role.ops, CtaBarrier{kWritten});
  append(role.ops, layout.over_keys(Var::loop0, share, shares, reads.queries), MmaWait{1}, ReleaseStage{kDo},
         layout.over_keys(Var::loop0, share, shares, reads.keys), MmaWait{1});
  if (plan.dq_through_tma) {
    append(role.ops, AcquireStage{dq_pipe(share)}, SharedAccess{0, dq}, CommitStage{dq_pipe(share)});
  } else {
    append(role.ops, layout.add_dq(Var::loop0, share, shares, CopyPath::lsu));
  }
  append(role.ops, MmaWait{0}, ReleaseStage{kQ}, LoopEnd{}, layout.masks(shares),
         layout.finish(share, shares, CopyPath::bulk), ReleaseStage{kKv});
  return role;
}

TileProgram flash_3(const models::Attention& op, const AttentionBackwardPlan& plan, const GpuSpec& gpu) {
  const AttentionBackwardLayout layout(op, plan, gpu);
  TileProgram program = layout.start("flash_attention_3_backward");
  program.threads_per_cta = 128 * (1 + plan.warpgroups);
  // setmaxnreg: 24 for the producer and 240 for two consumers, 32 and 160 for three; launched with the mean.
  program.registers_per_thread = plan.warpgroups <= 2 ? 168 : 128;
  CtaClass cta{
      "key_block",
      {producer_role(layout)},
      {{"kv", 1, plan.warpgroups}, {"q", plan.stages_q, plan.warpgroups}, {"do", plan.stages_do, plan.warpgroups}}};
  if (plan.dq_through_tma) {
    for (std::uint32_t share = 0; share < plan.warpgroups; ++share) cta.pipes.push_back({"dq", 1, 1});
    cta.roles.push_back(dq_role(layout, plan.warpgroups));
  }
  for (std::uint32_t share = 0; share < plan.warpgroups; ++share) {
    cta.roles.push_back(consumer_role(layout, plan, share));
  }
  program.classes = {cta};
  program.groups = layout.groups();
  return program;
}

// ---- The passes around it ------------------------------------------------------------------------------------

std::uint64_t bits_of(NumberFormat format) { return info(format).bits; }

// D = row sums of dO . O, and zeros where dQ will be added up. A warp's 8 threads share a row.
TileProgram row_sums_pass(const models::Attention& op, const AttentionBackwardPlan& plan) {
  StreamShape shape;
  shape.units = op.batch * op.heads * op.q_len;
  shape.units_per_turn = plan.rows;
  shape.threads = 256;
  shape.registers = 64;
  const std::uint64_t output = op.v_dim() * bits_of(op.activation), values = plan.rows * op.v_dim();
  return stream_program(fmt::format("attention_backward_row_sums_{}", name(op.activation)), shape,
                        {{"output", output, StreamUse::read, Residency::cold},
                         {"output_gradient", output},
                         {"row_sums", 32, StreamUse::write},
                         {"dq_workspace", op.head_dim * 32, StreamUse::write}},
                        {lane_work(3 * values, values / 2, 0, 60, 2 * values)});
}

// fp32 sums scaled and narrowed; `parts` of them added first (16-bit gradients of the query heads of a KV head).
TileProgram convert_pass(const char* what, std::uint64_t elements, std::uint64_t in_bits, std::uint64_t parts,
                         NumberFormat format) {
  StreamShape shape;
  shape.units = elements;
  shape.units_per_turn = 256 * 8;
  shape.threads = 256;
  const std::uint64_t n = shape.units_per_turn;
  return stream_program(fmt::format("attention_backward_{}_{}", what, name(format)), shape,
                        {{"sums", in_bits * parts}, {"gradient", bits_of(format), StreamUse::write}},
                        {lane_work(n * (parts + 1), n / 2, 0, 0, n * parts)});
}

void check_sizes(const models::Attention& op) {
  (void)models::cost(models::Operator(models::Backward<models::Attention>{op}));
  if (op.values_in_keys)
    throw ConfigError("attention backward over latents (values inside the keys) has no kernels yet");
  if (bits_of(op.activation) != 16) {
    throw ConfigError(fmt::format("attention backward in {} has no kernels; FlashAttention takes bf16 and fp16",
                                  name(op.activation)));
  }
  checked_product("attention backward", {op.batch, op.heads, std::max(op.q_len, op.kv_len), op.head_dim, 64});
}

}  // namespace

TileProgram attention_backward_program(const models::Attention& op, const AttentionBackwardPlan& plan,
                                       const GpuSpec& gpu) {
  return plan.mma_sync ? flash_2(op, plan, gpu) : flash_3(op, plan, gpu);
}

KernelSequence map_attention_backward(const models::Backward<models::Attention>& backward, const GpuSpec& gpu,
                                      KernelLibrary library) {
  const models::Attention& op = backward.forward;
  check_sizes(op);
  const AttentionBackwardPlan plan = plan_attention_backward(op, gpu, library);
  const std::uint64_t queries = op.batch * op.heads * op.q_len, keys = op.batch * op.kv_heads * op.kv_len;
  const std::uint64_t group = op.heads / op.kv_heads;
  KernelSequence sequence;
  sequence.kernels.push_back(row_sums_pass(op, plan));
  if (plan.sums_kv_heads) {
    sequence.kernels.push_back(clear_program(keys * op.head_dim * 4));
    sequence.kernels.push_back(clear_program(keys * op.v_dim() * 4));
  }
  sequence.kernels.push_back(attention_backward_program(op, plan, gpu));
  if (occupancy(sequence.kernels.back(), gpu.sm) == 0) {
    throw ConfigError(gpu.name + ": the backward kernel of attention does not fit one of its SMs");
  }
  sequence.kernels.push_back(convert_pass("dq", queries * op.head_dim, 32, 1, op.activation));
  for (const std::uint64_t width : {op.head_dim, op.v_dim()}) {
    if (plan.sums_kv_heads) {
      sequence.kernels.push_back(convert_pass("dkv", keys * width, 32, 1, op.activation));
    } else if (group > 1) {
      sequence.kernels.push_back(convert_pass("dkv_heads", keys * width, 16, group, op.activation));
    }
  }
  sequence.note = fmt::format("FlashAttention-{} backward, tile {}x{}, head_dim {}", plan.mma_sync ? 2 : 3, plan.rows,
                              plan.columns, plan.head_dim);
  return sequence;
}

}  // namespace lightcone::scenarios
