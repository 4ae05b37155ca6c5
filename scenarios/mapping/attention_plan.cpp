// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_plan.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// Which kernel family a library launches.
enum class Family : std::uint8_t {
  flash_2,        // FlashAttention-2: flash_fwd_kernel.h
  flash_2_split,  // its split-KV kernel, the only one of it that reads a paged cache (run_mha_fwd, force_split_kernel)
  flash_3_sync,   // FlashAttention-3 on sm_80 (hopper/mainloop_fwd_sm80.hpp): what SGLang's fa3 backend runs there
  flash_3,        // FlashAttention-3 on wgmma, and its schedule on later generations
  fused_mha       // TensorRT-LLM
};

bool mma_sync(const GpuSpec& gpu) { return gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync; }

Family family(const models::Attention& op, const GpuSpec& gpu, KernelLibrary library, bool few_queries) {
  if (library == KernelLibrary::flash_attention_2) return few_queries ? Family::flash_2_split : Family::flash_2;
  if (library == KernelLibrary::tensorrt_llm) return Family::fused_mha;
  if (!mma_sync(gpu)) return Family::flash_3;
  if (library == KernelLibrary::sglang) return Family::flash_3_sync;
  return few_queries || op.paged ? Family::flash_2_split : Family::flash_2;
}

struct TileRow {
  std::uint32_t head_dim, rows, columns, causal_columns, local_columns, paged_columns, warps;
};
// FlashAttention-3, hopper/tile_size.h: 16-bit and 8-bit formats. "paged": pages that are no whole TMA box.
constexpr TileRow kFlash3[] = {{64, 192, 192, 128, 160, 160, 12},
                               {96, 192, 144, 144, 128, 128, 12},
                               {128, 128, 176, 128, 128, 128, 8},
                               {192, 128, 112, 112, 96, 96, 8},
                               {256, 128, 80, 80, 64, 80, 8}};
constexpr TileRow kFlash3Narrow[] = {{64, 192, 160, 160, 160, 160, 12},
                                     {96, 192, 128, 128, 128, 128, 12},
                                     {128, 128, 224, 224, 224, 160, 8},
                                     {192, 128, 160, 160, 128, 160, 8},
                                     {256, 128, 128, 128, 64, 128, 8}};
// tile_size_fwd_sm8x of the same file, kernels that do not split; those that do: kFlash3SyncSplit.
constexpr TileRow kFlash3Sync[] = {{64, 128, 112, 112, 96, 112, 4},
                                   {96, 128, 64, 64, 48, 64, 4},
                                   {128, 128, 64, 64, 48, 64, 4},
                                   {192, 128, 96, 96, 64, 64, 8},
                                   {256, 128, 96, 96, 64, 96, 8}};
constexpr TileRow kFlash3SyncSplit[] = {{64, 128, 80, 80, 80, 80, 4},
                                        {96, 128, 48, 48, 48, 48, 4},
                                        {128, 128, 112, 112, 96, 112, 8},
                                        {192, 128, 64, 64, 64, 64, 8},
                                        {256, 128, 64, 64, 64, 64, 8}};
// TensorRT-LLM on Hopper: two warpgroups of 64 rows, kv_loop_step keys.
constexpr TileRow kFusedMha[] = {
    {64, 128, 256, 256, 256, 256, 8}, {128, 128, 128, 128, 128, 128, 8}, {256, 128, 64, 64, 64, 64, 8}};
constexpr TileRow kFusedMhaNarrow[] = {
    {64, 128, 256, 256, 256, 256, 8}, {128, 128, 256, 256, 256, 256, 8}, {256, 128, 128, 128, 128, 128, 8}};
// FlashAttention-4 and TensorRT-LLM on Blackwell: two tiles of 128 rows; one where O fills the tensor memory.
constexpr TileRow kBlackwell[] = {{64, 256, 128, 128, 128, 128, 8},
                                  {96, 256, 128, 128, 128, 128, 8},
                                  {128, 256, 128, 128, 128, 128, 8},
                                  {192, 256, 64, 64, 64, 64, 8},
                                  {256, 128, 64, 64, 64, 64, 4}};
// FlashAttention-2, flash_fwd_launch_template.h: run_mha_fwd_hdim*, and run_mha_fwd_splitkv_dispatch.
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

template <std::size_t n>
const TileRow& row_for(const TileRow (&rows)[n], std::uint64_t head_dim) {
  for (const TileRow& row : rows) {
    if (head_dim <= row.head_dim) return row;
  }
  throw ConfigError("attention: head_dim " + std::to_string(head_dim) + " is too wide; kernels go up to 256");
}

// fp8 caches are multiplied in fp8 where the tensor core does (the kernel takes quantised queries), else widened.
NumberFormat multiply_format(const models::Attention& op, const GpuSpec& gpu) {
  const bool narrow = op.kv == NumberFormat::fp8_e4m3 || op.kv == NumberFormat::fp8_e5m2;
  if (narrow && gpu.sm.tensor.has(op.kv)) return op.kv;
  if (gpu.sm.tensor.has(op.activation)) return op.activation;
  throw ConfigError(gpu.name + " has no tensor-core rate for attention in " + std::string(name(op.activation)));
}

const TileRow& hopper_row(const models::Attention& op, const GpuSpec& gpu, NumberFormat format) {
  if (gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05) return row_for(kBlackwell, op.head_dim);
  return info(format).bits <= 8 ? row_for(kFlash3Narrow, op.head_dim) : row_for(kFlash3, op.head_dim);
}

const TileRow& tile_row(const models::Attention& op, const GpuSpec& gpu, Family family, NumberFormat format) {
  switch (family) {
    case Family::flash_2:
      return row_for(kFlash2, op.head_dim);
    case Family::flash_2_split:
      return row_for(kFlash2Split, op.head_dim);
    case Family::flash_3_sync:
      return row_for(kFlash3Sync, op.head_dim);
    case Family::fused_mha:
      if (mma_sync(gpu)) return row_for(kFlash2, op.head_dim);
      if (gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05) break;
      return info(format).bits <= 8 ? row_for(kFusedMhaNarrow, op.head_dim) : row_for(kFusedMha, op.head_dim);
    case Family::flash_3:
      break;
  }
  return hopper_row(op, gpu, format);
}

// A single query sees all keys: libraries drop its mask.
bool causal_tiles(const models::Attention& op) { return op.causal && op.q_len > 1; }

std::uint32_t columns(const TileRow& row, const models::Attention& op) {
  std::uint32_t most = row.columns;
  if (op.window > 0) most = std::min(most, row.local_columns);
  if (causal_tiles(op) && op.window == 0) most = std::min(most, row.causal_columns);
  if (op.paged) most = std::min(most, row.paged_columns);
  return most;
}

// Query heads of a group share a tile: always where FlashAttention-3 serves sequences of different lengths (also on
// sm_80), and wherever few queries would leave a tile nearly empty.
bool packs(const models::Attention& op, bool few_queries, Family family, const GpuSpec& gpu) {
  if (op.heads == op.kv_heads) return false;
  if (few_queries || family == Family::flash_3_sync) return true;
  return family == Family::flash_3 && gpu.sm.tensor.generation == TensorCoreGeneration::wgmma;
}

void shrink_to_fit(AttentionPlan& plan, const GpuSpec& gpu) {
  while (plan.columns > 16 && shared_memory(plan) > gpu.sm.shared_memory_per_cta) plan.columns -= 16;
  if (shared_memory(plan) > gpu.sm.shared_memory_per_cta)
    throw ConfigError(gpu.name + ": no attention tile fits its shared memory");
}

// FlashAttention-3 over sequences of different lengths: the host bounds the number of parts as if there were one
// sequence (flash_api.cpp, get_num_splits); a kernel before it then deals the key blocks evenly to the SMs, with a
// tenth to spare (flash_prepare_scheduler.cu). Where the bound is above one the merging kernel always runs.
void deal_to_sms(AttentionPlan& plan, const models::Attention& op, std::uint64_t group, const GpuSpec& gpu) {
  const std::uint64_t tiles = ceil_div(op.q_len * group, plan.rows);
  const std::uint64_t keys = op.window > 0 ? std::min(op.kv_len, op.window + plan.rows) : op.kv_len;
  const std::uint64_t blocks = ceil_div(keys, plan.columns);
  plan.most_splits = split_heuristic(op.kv_heads * tiles, gpu.sm_count, blocks, SplitRule::any);
  const std::uint64_t whole = ceil_div(op.kv_len, plan.columns);
  const double all = 1.1 * static_cast<double>(op.batch * tiles * whole * op.kv_heads);
  const auto per_sm = static_cast<std::uint64_t>(std::ceil(all / gpu.sm_count));
  plan.splits = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(ceil_div(whole, per_sm), 1, plan.most_splits));
}

}  // namespace

Bytes shared_memory(const AttentionPlan& plan) {
  const std::uint64_t row = storage(plan.multiply, plan.head_dim).count();
  const std::uint64_t rings = plan.transposes_v ? 3 : 2;
  return Bytes((plan.rows + rings * plan.stages * plan.columns) * row);
}

std::uint32_t rows_per_share(const GpuSpec& gpu) {
  return gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05 ? 128 : 64;
}

std::uint32_t split_heuristic(std::uint64_t tiles, std::uint64_t slots, std::uint64_t key_blocks, SplitRule rule) {
  constexpr std::uint64_t kMostSplits = 128;
  if (static_cast<double>(tiles) >= 0.8 * static_cast<double>(slots)) return 1;
  if (rule == SplitRule::any && key_blocks <= 4) return 1;
  const std::uint64_t most = std::min({kMostSplits, slots, key_blocks});
  const auto eligible = [&](std::uint64_t splits) {
    return rule == SplitRule::any || splits == 1 || ceil_div(key_blocks, splits) != ceil_div(key_blocks, splits - 1);
  };
  const auto efficiency = [&](std::uint64_t splits) {
    const double waves = static_cast<double>(tiles * splits) / static_cast<double>(slots);
    return waves / static_cast<double>(ceil_div(tiles * splits, slots));
  };
  double best = 0;
  for (std::uint64_t splits = 1; splits <= most; ++splits) {
    if (eligible(splits)) best = std::max(best, efficiency(splits));
  }
  for (std::uint64_t splits = 1; splits <= most; ++splits) {
    if (eligible(splits) && efficiency(splits) >= 0.85 * best) return static_cast<std::uint32_t>(splits);
  }
  return 1;
}

AttentionPlan plan_attention(const models::Attention& op, const GpuSpec& gpu, KernelLibrary library) {
  const std::uint64_t group = op.heads / op.kv_heads;
  AttentionPlan plan;
  plan.multiply = multiply_format(op, gpu);
  const TileRow& widest = tile_row(op, gpu, family(op, gpu, library, false), plan.multiply);
  const bool few_queries = op.q_len * group <= widest.rows && op.q_len < op.kv_len;
  const Family kernel = family(op, gpu, library, few_queries);
  const bool unequal_lengths = library == KernelLibrary::vllm || library == KernelLibrary::sglang;
  const bool hopper = gpu.sm.tensor.generation == TensorCoreGeneration::wgmma;
  const TileRow& row = tile_row(op, gpu, kernel, plan.multiply);
  plan.mma_sync = mma_sync(gpu) || library == KernelLibrary::flash_attention_2;
  plan.head_dim = row.head_dim;
  plan.rows = row.rows;
  plan.columns = columns(row, op);
  plan.warps = row.warps;
  plan.stages = plan.mma_sync ? 1 : 2;
  plan.packed = packs(op, few_queries, kernel, gpu);
  plan.longest_first = op.causal && !plan.mma_sync;
  plan.bulk_pages = kernel == Family::fused_mha;
  plan.transposes_v = hopper && !plan.mma_sync && info(plan.multiply).bits == 8;
  plan.promotes = plan.transposes_v && library == KernelLibrary::vllm;
  // IntraWGOverlap of tile_size.h; the promotion waits for the products at once (utils.h: gemm).
  const bool wide_pages = plan.transposes_v && plan.head_dim == 256 && op.paged;
  const bool narrow_window = kernel == Family::flash_3 && plan.head_dim == 64 && op.window > 0;
  plan.softmax_in_turn =
      hopper && (kernel == Family::fused_mha || plan.promotes || wide_pages || (narrow_window && !plan.transposes_v));
  plan.serial_combine = kernel == Family::flash_2_split;
  const std::uint64_t rows = op.q_len * (plan.packed ? group : 1);
  if (kernel == Family::fused_mha && plan.mma_sync) plan.rows = 64;
  if (few_queries && kernel == Family::fused_mha && plan.mma_sync) {
    const TileRow& split = row_for(kFlash2Split, op.head_dim);
    plan.columns = columns(split, op);
    plan.warps = split.warps;
  }
  // A single consumer warpgroup where its 64 rows hold all (heuristics.h, use_one_mma_wg): 16-bit, head_dim 128 only.
  const bool dealt = kernel == Family::flash_3 && hopper && unequal_lengths;
  const bool one_warpgroup = !dealt || (plan.head_dim == 128 && info(plan.multiply).bits == 16);
  if (few_queries && one_warpgroup && (kernel == Family::flash_3 || (kernel == Family::fused_mha && !plan.mma_sync))) {
    plan.rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(round_up(rows, rows_per_share(gpu)), plan.rows));
    plan.warps = plan.rows / rows_per_share(gpu) * 4;
  }
  shrink_to_fit(plan, gpu);
  if (dealt || kernel == Family::flash_3_sync) {
    deal_to_sms(plan, op, group, gpu);
    if (kernel == Family::flash_3_sync && plan.most_splits > 1) {
      const TileRow& split = row_for(kFlash3SyncSplit, op.head_dim);
      plan.columns = columns(split, op);
      plan.warps = split.warps;
      shrink_to_fit(plan, gpu);
      deal_to_sms(plan, op, group, gpu);
    }
  } else if (few_queries && (plan.packed || group == 1) &&
             !(library == KernelLibrary::vllm && plan.mma_sync && group == 1)) {  // vLLM's FA2 does not split these
    const std::uint64_t keys = op.window > 0 ? std::min(op.window, op.kv_len) : op.kv_len;
    const std::uint64_t tiles = op.batch * op.kv_heads * ceil_div(rows, plan.rows);
    plan.splits =
        plan.mma_sync
            ? split_heuristic(tiles, gpu.sm_count * 2ull, ceil_div(keys, plan.columns), SplitRule::even)
            : split_heuristic(tiles, gpu.sm_count, std::max<std::uint64_t>(1, keys / plan.columns), SplitRule::any);
    plan.most_splits = plan.splits;
  }
  if (plan.splits > 1) plan.packed = true;
  return plan;
}

}  // namespace lightcone::scenarios
