// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "scenarios/mapping/attention_program.h"
#include "scenarios/mapping/dynamic_scale.h"
#include "scenarios/mapping/elementwise.h"
#include "scenarios/mapping/kv_cache_kernels.h"
#include "scenarios/mapping/masked_mha.h"
#include "scenarios/mapping/mla_attention.h"
#include "scenarios/mapping/mla_cache_kernels.h"
#include "scenarios/mapping/row_kernels.h"
#include "scenarios/mapping/strided_copy.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

void check_sizes(const models::Attention& op) {
  if (op.batch == 0 || op.heads == 0 || op.kv_heads == 0 || op.q_len == 0 || op.kv_len == 0 || op.head_dim == 0) {
    throw ConfigError("attention: every size must be at least 1");
  }
  if (op.heads % op.kv_heads != 0) {
    throw ConfigError(fmt::format("attention: kv_heads {} does not divide heads {}", op.kv_heads, op.heads));
  }
  checked_product("attention FLOPs", {4, op.batch, op.heads, op.q_len, op.kv_len, op.head_dim});
  checked_product("attention partial results", {128, 8, op.batch, op.heads, op.q_len, op.head_dim});
}

// vLLM plans once per step, outside the layers; but not for encoders, which have no cache (vit_attn_wrappers.py).
bool plans_beforehand(const models::Attention& op, KernelLibrary library) {
  return library == KernelLibrary::vllm && op.paged;
}
bool plans_lengths(const models::Attention& op, const AttentionPlan& plan, KernelLibrary library) {
  if (library == KernelLibrary::tensorrt_llm) return !plan.appends_cache;
  if (library == KernelLibrary::vllm) return !plan.mma_sync && !plans_beforehand(op, library);
  return library == KernelLibrary::sglang;
}

// FlashAttention-3 with a plan made beforehand: the tile counter is set back after the kernel (flash_api.cpp), unless
// the merging kernel does.
bool clears_counter(const models::Attention& op, const AttentionPlan& plan, KernelLibrary library) {
  return plans_beforehand(op, library) && !plan.mma_sync && plan.most_splits == 1;
}

// FlashAttention-2 turns the query heads of a single token into rows of (group, KV head): a transposed copy of Q before
// and of O after the kernel; with one KV head Q is a view and O a plain copy (flash_api.cpp, seqlenq_ngroups_swapped).
bool swaps_groups(const models::Attention& op, const AttentionPlan& plan) {
  return plan.serial_combine && op.q_len == 1 && op.heads > op.kv_heads && op.window == 0;
}

hardware::TileProgram swap_copy(const models::Attention& op, const hardware::GpuSpec& gpu) {
  constexpr std::uint64_t kDimensions = 4;  // sequence, KV head, group, value
  const std::uint64_t elements = op.batch * op.heads * op.head_dim;
  if (op.kv_heads > 1) return strided_copy_program(elements, op.activation, kDimensions);
  return elementwise_program({models::ElementwiseKind::copy, elements, op.activation, op.activation}, gpu,
                             KernelLibrary::automatic);
}

// Products in a narrower format take Q in that format. vLLM quantises it by a kernel of its own with a static scale
// (attention/layer.py: query_quant). SGLang's fa3 backend converts Q, and its cache pool K and V, by calls of their own
// (flashattention_backend.py, memory_pool.py: set_kv_buffer). TensorRT-LLM's preprocessing writes Q narrow.
void add_conversions(const models::Attention& op, const AttentionPlan& plan, const hardware::GpuSpec& gpu,
                     KernelLibrary library, KernelSequence& sequence) {
  if (library == KernelLibrary::tensorrt_llm) return;
  const auto convert = [&](models::ElementwiseKind kind, std::uint64_t heads, NumberFormat from) {
    const std::uint64_t row = heads * op.head_dim;
    sequence.kernels.push_back(
        elementwise_program({kind, op.batch * op.q_len * row, from, plan.multiply, row}, gpu, library));
  };
  if (library == KernelLibrary::sglang && op.writes_kv_cache && info(op.kv).bits < info(op.activation).bits) {
    convert(models::ElementwiseKind::copy, op.kv_heads, op.activation);
    convert(models::ElementwiseKind::copy, op.kv_heads, op.activation);
  }
  if (info(plan.multiply).bits < info(op.q_format()).bits) {
    const bool cast = library == KernelLibrary::sglang;
    convert(cast ? models::ElementwiseKind::copy : models::ElementwiseKind::quantize, op.heads, op.q_format());
  }
}

// Positions of the table of cosines and sines that TensorRT-LLM makes for a layer built without a model, as its
// benchmarks do (RopeParams: max_positions; AttentionOp: rotary_embedding_max_positions).
constexpr std::uint64_t kDefaultTable = 1024;

// This step's K and V, straight from the projection, before any query reads them.
hardware::TileProgram append_to_cache(const models::Attention& op, const AttentionPlan& plan,
                                      const hardware::GpuSpec& gpu, const MappingOptions& options) {
  if (op.v_dim() != op.head_dim) return append_latent_program(op, options.library);
  if (options.library == KernelLibrary::vllm) return reshape_and_cache_program(op);
  if (options.library == KernelLibrary::tensorrt_llm) {
    return qkv_preprocessing_program(op, plan.multiply, kDefaultTable, gpu.sm_count);
  }
  return rotary_program({op.batch * op.q_len, op.heads, op.kv_heads, op.head_dim, 0, true, op.activation, op.kv});
}

hardware::TileProgram attention_kernel(const models::Attention& op, const AttentionPlan& plan,
                                       const hardware::GpuSpec& gpu) {
  if (plan.by_head) return masked_mha(op);
  return plan.mma_sync ? flash_attention_2(op, plan, gpu) : flash_attention_3(op, plan, gpu);
}

const char* family_name(const AttentionPlan& plan) {
  if (plan.by_head) return "masked MHA";
  return plan.mma_sync ? "FlashAttention-2" : "FlashAttention-3";
}

}  // namespace

hardware::TileProgram plan_lengths(const models::Attention& op) {
  using namespace hardware;
  const std::uint64_t bytes = 4 * op.batch;
  TileProgram program;
  program.name = "attention_plan_lengths";
  program.tensors = {{"lengths", Bytes(bytes), Residency::warm, false},
                     {"blocks", Bytes(bytes), Residency::warm, true}};
  Box box;
  box.row_bytes = box.column_extent_bytes = box.row_pitch_bytes = bytes;
  Box out = box;
  out.tensor = 1;
  VectorWork scan;
  scan.int_ops = 32 * round_up(op.batch, 128);  // a warp scan in shuffles
  scan.dependent_cycles = 300;
  program.classes = {{"plan", {{"warps", 4, {GlobalLoad{box}, WaitLoads{}, scan, GlobalStore{out}}}}, {}}};
  program.groups = {CtaGroup{}};
  program.threads_per_cta = 128;
  program.registers_per_thread = 32;
  return program;
}

KernelSequence map_attention(const models::Attention& op, const hardware::GpuSpec& gpu, const MappingOptions& options) {
  check_sizes(op);
  if (op.values_in_keys) return map_latent_attention(op, gpu, options);
  const AttentionPlan plan = plan_attention(op, gpu, options.library);
  KernelSequence sequence;
  const bool narrower = info(plan.multiply).bits < info(op.activation).bits;
  if (op.v_dim() == op.head_dim) {
    add_conversions(op, plan, gpu, options.library, sequence);
  } else if (narrower) {
    sequence.kernels.push_back(quantize_heads_program(op));
  }
  if (op.writes_kv_cache && !plan.appends_cache) {
    sequence.kernels.push_back(append_to_cache(op, plan, gpu, options));
  }
  if (plans_lengths(op, plan, options.library)) sequence.kernels.push_back(plan_lengths(op));
  if (swaps_groups(op, plan) && op.kv_heads > 1) sequence.kernels.push_back(swap_copy(op, gpu));
  const std::size_t main_kernel = sequence.kernels.size();
  sequence.kernels.push_back(attention_kernel(op, plan, gpu));
  if (plan.most_splits > 1) sequence.kernels.push_back(AttentionLayout(op, plan, gpu).combine());
  if (clears_counter(op, plan, options.library)) sequence.kernels.push_back(memset_program(4));
  if (swaps_groups(op, plan)) sequence.kernels.push_back(swap_copy(op, gpu));
  sequence.note = fmt::format("{} tile {}x{}, head_dim {}{}, key splits {}", family_name(plan), plan.rows, plan.columns,
                              plan.head_dim, plan.packed ? ", heads packed" : "", plan.splits);
  if (hardware::occupancy(sequence.kernels[main_kernel], gpu.sm) == 0) {
    throw ConfigError(gpu.name + ": the attention kernel does not fit one of its SMs");
  }
  return sequence;
}

}  // namespace lightcone::scenarios
