// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/attention_backward.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// csrc/flash_attn/src/flash_bwd_launch_template.h, run_mha_bwd_hdim*, without dropout: for each head dim the kernels in
// the order in which they are tried, the first whose shared memory fits.
struct SyncRow {
  std::uint32_t head_dim, rows, columns, warps_scores, warps_keys, warps_queries;
  bool v_in_registers, double_buffer;
};
constexpr SyncRow kFlash2[] = {
    {32, 128, 128, 4, 4, 4, true, true},  {64, 128, 128, 4, 4, 4, false, true}, {64, 64, 128, 2, 4, 4, true, true},
    {96, 64, 128, 2, 4, 4, true, true},   {128, 64, 128, 2, 4, 2, false, true}, {128, 64, 64, 4, 2, 2, true, true},
    {192, 64, 64, 4, 2, 2, false, true},  {192, 64, 64, 4, 2, 2, true, false},  {256, 64, 64, 4, 2, 2, false, true},
    {256, 64, 64, 4, 2, 2, false, false}, {256, 64, 32, 4, 1, 2, true, false},
};

// hopper/flash_bwd_launch_template.h, Arch 90, without soft cap. `narrow_rows`: under a causal mask or a window.
struct Row90 {
  std::uint32_t head_dim, value_dim, rows, narrow_rows, columns, warpgroups, stages_do, stages_ds;
  bool v_in_registers, p_in_registers, dq_through_tma;
};
constexpr Row90 kFlash3[] = {
    {64, 64, 128, 128, 128, 2, 2, 2, false, true, true}, {96, 96, 64, 64, 128, 2, 2, 2, true, true, true},
    {128, 128, 80, 64, 128, 2, 2, 2, false, true, true}, {192, 128, 64, 64, 96, 2, 1, 1, false, false, true},
    {192, 192, 64, 64, 96, 3, 1, 1, false, false, true}, {256, 256, 64, 64, 80, 2, 1, 1, false, false, false},
};

[[noreturn]] void too_wide(const models::Attention& op) {
  throw ConfigError(fmt::format("attention backward: heads of {} and values of {} are too wide; kernels go up to 256",
                                op.head_dim, op.v_dim()));
}

AttentionBackwardPlan flash_2(const models::Attention& op, const GpuSpec& gpu) {
  const std::uint64_t widest = std::max(op.head_dim, op.v_dim());  // values are padded to the width of the keys
  for (const SyncRow& row : kFlash2) {
    if (widest > row.head_dim) continue;
    AttentionBackwardPlan plan;
    plan.mma_sync = true;
    plan.head_dim = plan.value_dim = row.head_dim;
    plan.rows = row.rows;
    plan.columns = row.columns;
    plan.warps_scores = row.warps_scores;
    plan.warps_keys = row.warps_keys;
    plan.warps_queries = row.warps_queries;
    plan.v_in_registers = row.v_in_registers;
    plan.stages_q = row.double_buffer ? 2 : 1;
    if (shared_memory(plan) <= gpu.sm.shared_memory_per_cta) return plan;
  }
  if (widest > 256) too_wide(op);
  throw ConfigError(gpu.name + ": no backward tile of attention fits its shared memory");
}

AttentionBackwardPlan flash_3(const models::Attention& op, const GpuSpec& gpu) {
  const bool narrow = op.causal || op.window > 0;
  for (const Row90& row : kFlash3) {
    if (op.head_dim > row.head_dim || op.v_dim() > row.value_dim) continue;
    AttentionBackwardPlan plan;
    plan.head_dim = row.head_dim;
    plan.value_dim = row.value_dim;
    plan.rows = narrow ? row.narrow_rows : row.rows;
    plan.columns = row.columns;
    plan.warpgroups = row.warpgroups;
    plan.stages_do = row.stages_do;
    plan.stages_ds = row.stages_ds;
    plan.v_in_registers = row.v_in_registers;
    plan.p_in_registers = row.p_in_registers;
    plan.dq_through_tma = row.dq_through_tma;
    plan.sums_kv_heads = op.heads != op.kv_heads;
    if (shared_memory(plan) <= gpu.sm.shared_memory_per_cta) return plan;
  }
  if (std::max(op.head_dim, op.v_dim()) > 256) too_wide(op);
  throw ConfigError(gpu.name + ": no backward tile of attention fits its shared memory");
}

}  // namespace

// FlashAttention-2 (kernel_traits.h: kSmemSize1colblock): Q twice, dO, K and V, dS and P; V in registers shares the
// place of dS and P. Its totals are those that flash_bwd_launch_template.h names: 144 KB for heads of 128, 116 of 96
// and 92 with V in registers, 136 of 192, 176 of 256 and 144 without the second Q. FlashAttention-3
// (mainloop_bwd_sm90_tma_gmma_ws.hpp, TensorStorage): rings of Q and dO, K, V, dS, P where it is no register operand,
// dQ in fp32.
Bytes shared_memory(const AttentionBackwardPlan& p) {
  constexpr std::uint64_t kElement = 2;
  const std::uint64_t q = kElement * p.rows * p.head_dim, d_o = kElement * p.rows * p.value_dim;
  const std::uint64_t k = kElement * p.columns * p.head_dim, v = kElement * p.columns * p.value_dim;
  const std::uint64_t scores = kElement * p.rows * p.columns;
  if (p.mma_sync) {
    const std::uint64_t products = 2 * scores;
    return Bytes(p.stages_q * q + d_o + (p.v_in_registers ? std::max(k + v, k + products) : k + v + products));
  }
  const std::uint64_t statistics = 2ull * p.rows * 4 * 2;
  return Bytes(p.stages_q * q + p.stages_do * d_o + k + v + p.stages_ds * scores * (p.p_in_registers ? 1 : 2) +
               (p.dq_through_tma ? 2 * q : 0) + statistics);
}

AttentionBackwardPlan plan_attention_backward(const models::Attention& op, const GpuSpec& gpu, KernelLibrary library) {
  const bool mma_sync = gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync;
  if (mma_sync || library == KernelLibrary::flash_attention_2) return flash_2(op, gpu);
  return flash_3(op, gpu);
}

}  // namespace lightcone::scenarios
