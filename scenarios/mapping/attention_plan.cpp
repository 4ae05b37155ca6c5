// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_plan.h"

#include "scenarios/mapping/attention_tiles.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint32_t kFlash2Rows = 128;  // of its kernels that do not split

// A single query sees all keys: libraries drop its mask.
bool causal_tiles(const models::Attention& op) { return op.causal && op.q_len > 1; }

std::uint32_t columns(const TileRow& row, const models::Attention& op) {
  std::uint32_t most = row.columns;
  if (op.window > 0) most = std::min(most, row.local_columns);
  if (causal_tiles(op) && op.window == 0) most = std::min(most, row.causal_columns);
  if (op.paged) most = std::min(most, row.paged_columns);
  return most;
}

bool is_8_bit(NumberFormat format) { return format == NumberFormat::fp8_e4m3 || format == NumberFormat::fp8_e5m2; }

constexpr std::uint64_t kMostGrouped = 32;  // query heads per KV head that XQA takes

bool one_query(const models::Attention& op) { return op.q_len == 1 && op.kv_len > 1; }

// decoderXQAImplJIT/compileEngine.cpp, supportConfigQGMMA; plain multi-head attention is left to another kernel.
bool xqa_on_wgmma(const models::Attention& op, const GpuSpec& gpu) {
  const std::uint64_t group = query_heads_per_kv_head(op);
  return gpu.sm.tensor.generation == TensorCoreGeneration::wgmma && one_query(op) && is_8_bit(op.kv) &&
         gpu.sm.tensor.has(op.kv) && group > 1 && group <= kMostGrouped;
}

}  // namespace

Bytes shared_memory(const AttentionPlan& plan) {
  const std::uint64_t keys = storage(plan.multiply, plan.head_dim).count();
  const std::uint64_t values = storage(plan.multiply, plan.v_dim()).count();
  if (plan.values_in_keys)  // turned around one block at a time
    return Bytes((plan.rows + plan.stages * plan.columns) * keys + (plan.transposes_v ? plan.columns * values : 0));
  const std::uint64_t value_rings = plan.transposes_v ? 2 : 1;
  return Bytes(plan.rows * keys + plan.stages * plan.columns * (keys + value_rings * values));
}

std::uint32_t rows_per_share(const GpuSpec& gpu) {
  return gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05 ? 128 : 64;
}

std::uint32_t query_shares(const AttentionPlan& plan, const GpuSpec& gpu) {
  return plan.mma_sync ? 1 : std::max(1u, plan.rows / rows_per_share(gpu));
}

NumberFormat multiply_format(const models::Attention& op, const GpuSpec& gpu) {
  if (is_8_bit(op.kv) && gpu.sm.tensor.has(op.kv)) return op.kv;
  if (gpu.sm.tensor.has(op.activation)) return op.activation;
  throw ConfigError(gpu.name + " has no tensor-core rate for attention in " + std::string(name(op.activation)));
}

AttentionPlan plan_tile(const models::Attention& op, NumberFormat multiply, const TileRow& row) {
  AttentionPlan plan;
  plan.multiply = multiply;
  plan.head_dim = row.head_dim;
  if (op.v_dim() != op.head_dim) plan.value_dim = static_cast<std::uint32_t>(round_up(op.v_dim(), 16));
  plan.rows = row.rows;
  plan.columns = columns(row, op);
  plan.warps = row.warps;
  return plan;
}

void shrink_to_fit(AttentionPlan& plan, const GpuSpec& gpu) {
  while (plan.columns > 16 && shared_memory(plan) > gpu.sm.shared_memory_per_cta) plan.columns -= 16;
  if (shared_memory(plan) > gpu.sm.shared_memory_per_cta)
    throw ConfigError(gpu.name + ": no attention tile fits its shared memory");
}

AttentionPlan plan_attention(const models::Attention& op, const GpuSpec& gpu, KernelLibrary library) {
  const bool many_grouped = query_heads_per_kv_head(op) > kMostGrouped;
  if (library == KernelLibrary::tensorrt_llm && one_query(op) && many_grouped) return plan_masked_mha(op);
  const bool upstream = library == KernelLibrary::flash_attention_2 || library == KernelLibrary::flash_attention_3;
  if (gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05 && one_query(op) && !upstream)
    return plan_trtllm_gen_decode(op, gpu);
  if (library == KernelLibrary::tensorrt_llm)
    return xqa_on_wgmma(op, gpu) ? plan_xqa(op, gpu) : plan_fused_mha(op, gpu);
  const bool mma_sync = gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync;
  if (library != KernelLibrary::flash_attention_2) {
    if (!mma_sync) return plan_flash_3(op, gpu, library);
    if (library == KernelLibrary::sglang) return plan_flash_3_sync(op, gpu);
  }
  const bool paged = op.paged && library != KernelLibrary::flash_attention_2;
  if (!paged && !few_queries(op, kFlash2Rows)) return plan_flash_2(op, gpu);
  // vLLM does not split the keys of plain multi-head attention.
  return plan_flash_2_split(op, gpu, !(library == KernelLibrary::vllm && mma_sync));
}

}  // namespace lightcone::scenarios
