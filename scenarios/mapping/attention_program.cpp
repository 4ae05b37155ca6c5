// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_program.h"

#include <algorithm>

#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint8_t kK = 0, kV = 1, kQ = 2;

std::uint32_t rows_per_share(const GpuSpec& gpu) {
  return gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05 ? 128 : 64;
}

Role producer_role(const AttentionLayout& layout, bool packed) {
  Role role{"producer", 1, {}};
  append(role.ops, layout.set_up());
  if (!packed) append(role.ops, AcquireStage{kQ}, layout.load_q(kQ), CommitStage{kQ});
  append(role.ops, LoopBegin{0}, AcquireStage{kK}, layout.load_k(kK, Var::loop0, 0), CommitStage{kK}, AcquireStage{kV},
         layout.load_v(kV, Var::loop0), CommitStage{kV}, LoopEnd{});
  return role;
}

Role consumer_role(const AttentionLayout& layout, bool packed, std::uint32_t share, std::uint32_t shares) {
  Role role{"consumer" + std::to_string(share), 4, {}};
  if (packed) {
    append(role.ops, layout.set_up(), layout.gather_q(share, shares));
  } else {
    append(role.ops, WaitStage{kQ});
  }
  append(role.ops, WaitStage{kK}, layout.scores(share, shares, Var::loop1, 0), MmaWait{0}, ReleaseStage{kK},
         layout.softmax(shares, Score::masked));
  // The next scores are queued before this block's values, so that softmax runs under the tensor core.
  append(role.ops, LoopBegin{1}, WaitStage{kK}, layout.scores(share, shares, Var::loop1, 1), WaitStage{kV},
         layout.values(share, shares, Var::loop1), MmaWait{1}, ReleaseStage{kK}, layout.softmax(shares, Score::plain),
         MmaWait{0}, ReleaseStage{kV}, layout.rescale(shares), LoopEnd{});
  if (!packed) append(role.ops, ReleaseStage{kQ});
  append(role.ops, WaitStage{kV}, layout.values(share, shares, Var::loop1), MmaWait{0}, ReleaseStage{kV}, WaitStores{},
         layout.finish(share, shares, packed ? CopyPath::lsu : CopyPath::bulk));
  return role;
}

// One key block of FlashAttention-2 from the wait for K to the end of P V; `next` also fetches the next K.
std::vector<Op> synchronous_block(const AttentionLayout& layout, bool next) {
  std::vector<Op> ops;
  append(ops, WaitStage{kK}, AcquireStage{kV}, layout.load_v(kV, Var::loop1), CommitStage{kV},
         layout.scores(0, 1, Var::loop1, 0), MmaWait{0}, ReleaseStage{kK}, WaitStage{kV});
  if (next) append(ops, AcquireStage{kK}, layout.load_k(kK, Var::loop1, 1), CommitStage{kK});
  append(ops, layout.softmax(1, next ? Score::plain : Score::masked), layout.rescale(1),
         layout.values(0, 1, Var::loop1), MmaWait{0}, ReleaseStage{kV});
  return ops;
}

struct TileRow {
  std::uint32_t head_dim, rows, columns, masked_columns, warps;
};
// FlashAttention-3, hopper/tile_size.h: 16-bit and 8-bit formats.
constexpr TileRow kFlash3[] = {{64, 192, 128, 128, 12},
                               {96, 192, 144, 128, 12},
                               {128, 128, 176, 128, 8},
                               {192, 128, 112, 112, 8},
                               {256, 128, 80, 80, 8}};
constexpr TileRow kFlash3Narrow[] = {{64, 192, 160, 160, 12},
                                     {96, 192, 128, 128, 12},
                                     {128, 128, 224, 224, 8},
                                     {192, 128, 160, 160, 8},
                                     {256, 128, 128, 128, 8}};
// FlashAttention-4 and TensorRT-LLM on Blackwell: two tiles of 128 rows; one where O fills the tensor memory.
constexpr TileRow kBlackwell[] = {{64, 256, 128, 128, 8},
                                  {96, 256, 128, 128, 8},
                                  {128, 256, 128, 128, 8},
                                  {192, 256, 64, 64, 8},
                                  {256, 128, 64, 64, 4}};
// FlashAttention-2, flash_fwd_launch_template.h.
constexpr TileRow kFlash2[] = {
    {64, 128, 128, 64, 4}, {96, 128, 64, 64, 4}, {128, 128, 64, 64, 4}, {192, 128, 64, 64, 8}, {256, 128, 64, 64, 8}};

template <std::size_t n>
const TileRow& row_for(const TileRow (&rows)[n], std::uint64_t head_dim) {
  for (const TileRow& row : rows) {
    if (head_dim <= row.head_dim) return row;
  }
  throw ConfigError("attention: head_dim " + std::to_string(head_dim) + " is too wide; kernels go up to 256");
}

bool uses_flash_2(const GpuSpec& gpu, KernelLibrary library) {
  return gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync || library == KernelLibrary::flash_attention_2;
}

bool has_rate(const GpuSpec& gpu, NumberFormat format) {
  const auto rate = gpu.sm.tensor.flops_per_clock.find(format);
  return rate != gpu.sm.tensor.flops_per_clock.end() && rate->second > 0;
}

// fp8 caches are multiplied in fp8 where the tensor core does (the kernel takes quantised queries), else widened.
NumberFormat multiply_format(const models::Attention& op, const GpuSpec& gpu) {
  const bool narrow = op.kv == NumberFormat::fp8_e4m3 || op.kv == NumberFormat::fp8_e5m2;
  if (narrow && has_rate(gpu, op.kv)) return op.kv;
  if (has_rate(gpu, op.activation)) return op.activation;
  throw ConfigError(gpu.name + " has no tensor-core rate for attention in " + std::string(name(op.activation)));
}

const TileRow& tile_row(const models::Attention& op, const GpuSpec& gpu, KernelLibrary library, NumberFormat format) {
  if (uses_flash_2(gpu, library)) return row_for(kFlash2, op.head_dim);
  if (gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05) return row_for(kBlackwell, op.head_dim);
  return info(format).bits <= 8 ? row_for(kFlash3Narrow, op.head_dim) : row_for(kFlash3, op.head_dim);
}

// Query heads of a group share a tile: always where FlashAttention-3 serves sequences of different lengths, in the
// FlashAttention-2 of FlashInfer (SGLang), and wherever few queries would leave a tile nearly empty.
bool packs(const models::Attention& op, bool few_queries, bool flash_2, KernelLibrary library, const GpuSpec& gpu) {
  if (op.heads == op.kv_heads) return false;
  if (few_queries) return true;
  if (library == KernelLibrary::tensorrt_llm) return false;
  if (flash_2) return library == KernelLibrary::sglang;
  return gpu.sm.tensor.generation == TensorCoreGeneration::wgmma;
}

void shrink_to_fit(AttentionPlan& plan, const GpuSpec& gpu) {
  const std::uint64_t row = storage(plan.multiply, plan.head_dim).count();
  const auto bytes = [&] { return plan.rows * row + 2ull * plan.stages * plan.columns * row; };
  while (plan.columns > 16 && bytes() > gpu.sm.shared_memory_per_cta.count()) plan.columns -= 16;
  if (bytes() > gpu.sm.shared_memory_per_cta.count())
    throw ConfigError(gpu.name + ": no attention tile fits its shared memory");
}

}  // namespace

std::uint32_t split_heuristic(std::uint64_t tiles, std::uint64_t slots, std::uint64_t key_blocks) {
  constexpr std::uint64_t kMostSplits = 128;
  if (static_cast<double>(tiles) >= 0.8 * static_cast<double>(slots) || key_blocks <= 4) return 1;
  const std::uint64_t most = std::min({kMostSplits, slots, key_blocks});
  const auto efficiency = [&](std::uint64_t splits) {
    const double waves = static_cast<double>(tiles * splits) / static_cast<double>(slots);
    return waves / static_cast<double>(ceil_div(tiles * splits, slots));
  };
  double best = 0;
  for (std::uint64_t splits = 1; splits <= most; ++splits) best = std::max(best, efficiency(splits));
  for (std::uint64_t splits = 1; splits <= most; ++splits) {
    if (efficiency(splits) >= 0.85 * best) return static_cast<std::uint32_t>(splits);
  }
  return 1;
}

AttentionPlan plan_attention(const models::Attention& op, const GpuSpec& gpu, KernelLibrary library) {
  const bool flash_2 = uses_flash_2(gpu, library);
  AttentionPlan plan;
  plan.multiply = multiply_format(op, gpu);
  const TileRow& row = tile_row(op, gpu, library, plan.multiply);
  const bool masked = op.causal || op.window > 0 || op.paged;
  const std::uint64_t group = op.heads / op.kv_heads;
  const bool few_queries = op.q_len * group <= row.rows && op.q_len < op.kv_len;
  plan.head_dim = row.head_dim;
  plan.rows = row.rows;
  plan.columns = masked ? row.masked_columns : row.columns;
  plan.warps = row.warps;
  plan.mma_sync = flash_2;
  plan.stages = flash_2 ? 1 : 2;
  plan.packed = packs(op, few_queries, flash_2, library, gpu);
  plan.longest_first = op.causal && !flash_2;
  if (flash_2 && library == KernelLibrary::tensorrt_llm) plan.rows = 64;
  if (few_queries) {
    // Split-key kernels take one warpgroup's rows (flash_fwd_splitkv: 64, with wider key blocks); FlashInfer, which
    // SGLang runs where FlashAttention-3 does not, goes down to one instruction's 16.
    const std::uint32_t least = !flash_2 ? rows_per_share(gpu) : (library == KernelLibrary::sglang ? 16 : 64);
    const std::uint64_t rows = op.q_len * (plan.packed ? group : 1);
    plan.rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(round_up(rows, least), plan.rows));
    plan.warps = flash_2 ? 4 : plan.rows / rows_per_share(gpu) * 4;
    if (flash_2) plan.columns = op.head_dim <= 64 ? 256 : (op.head_dim <= 128 ? 128 : 64);
  }
  shrink_to_fit(plan, gpu);
  const bool may_split = (plan.packed || group == 1) && few_queries &&
                         !(library == KernelLibrary::vllm && flash_2 && group == 1);  // vLLM's FA2 does not split these
  if (may_split) {
    const std::uint64_t rows = op.q_len * (plan.packed ? group : 1);
    const std::uint64_t keys = op.window > 0 ? std::min(op.window, op.kv_len) : op.kv_len;
    plan.splits =
        split_heuristic(op.batch * op.kv_heads * ceil_div(rows, plan.rows), gpu.sm_count * (flash_2 ? 2ull : 1ull),
                        std::max<std::uint64_t>(1, keys / plan.columns));
    if (plan.splits > 1) plan.packed = true;
  }
  return plan;
}

TileProgram flash_attention_3(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const AttentionLayout layout(op, plan, gpu);
  const std::uint32_t shares = plan.rows / rows_per_share(gpu);
  TileProgram program = layout.start("flash_attention_3");
  program.persistent = true;
  program.threads_per_cta = 128 * (1 + shares);
  // setmaxnreg leaves the producer 24-56 registers and the consumers 160-256; launched with the mean. A CTA of one
  // consumer warpgroup takes 168 as well, so that no second one fits the SM.
  program.registers_per_thread = shares <= 2 ? 168 : 128;
  CtaClass cta{"tile", {producer_role(layout, plan.packed)}, {{"k", plan.stages, shares}, {"v", plan.stages, shares}}};
  if (!plan.packed) cta.pipes.push_back({"q", 1, shares});
  for (std::uint32_t share = 0; share < shares; ++share)
    cta.roles.push_back(consumer_role(layout, plan.packed, share, shares));
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
  Role role{"warps", plan.warps, {}};
  append(role.ops, layout.set_up(), AcquireStage{kQ}, layout.load_q(kQ), CommitStage{kQ}, AcquireStage{kK},
         layout.load_k(kK, Var::loop0, 0), CommitStage{kK}, WaitStage{kQ}, LoopBegin{1},
         synchronous_block(layout, true), LoopEnd{}, synchronous_block(layout, false), ReleaseStage{kQ},
         layout.finish(0, 1, CopyPath::lsu));
  program.classes = {{"tile", {role}, {{"k", 1, 1}, {"v", 1, 1}, {"q", 1, 1}}}};
  program.groups = layout.groups();
  return program;
}

}  // namespace lightcone::scenarios
