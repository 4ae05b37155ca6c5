// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/causal_conv.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// FLOPs of one output by the operator's formula.
std::uint64_t flops_of(const models::CausalConv& op) { return 2 * op.kernel + (op.bias ? 1 : 0) + (op.silu ? 2 : 0); }

// Lane operations of one output of the CUDA kernel: a multiply-add per tap; SiLU with expf (5) and an IEEE division
// (10), its sign; one conversion in and one out. Special: exp2, reciprocal, range check of the division.
constexpr std::uint64_t kSiluFp32 = 16, kSiluSpecial = 3, kConversions = 2;
// Where the length is no multiple of 8 values, loads and stores go value by value through a transpose of the warp in
// shared memory (BLOCK_LOAD_WARP_TRANSPOSE): bound, address and access of each, twice.
constexpr std::uint64_t kTransposeInts = 2 * 6;

std::uint64_t lanes_of(const models::CausalConv& op) { return op.kernel + (op.silu ? kSiluFp32 : 0) + kConversions; }

struct Tensors {
  enum : std::uint32_t { input, weights, output, state };
};

// Rows of one filter's weights.
std::uint64_t taps_and_bias(const models::CausalConv& op) { return op.kernel + (op.bias ? 1 : 0); }

std::vector<Tensor> tensors_of(const models::CausalConv& op) {
  const std::uint64_t values =
      checked_product("causal_conv values", {op.batch, op.tokens, op.channels, op.filters, 64}) / op.filters / 64;
  std::vector<Tensor> tensors{
      {"input", storage(op.format, values), Residency::warm, false},
      {"weights", storage(op.format, op.channels * op.filters * taps_and_bias(op)), Residency::cold, false},
      {"output", storage(op.format, values * op.filters), Residency::warm, true}};
  if (op.kernel > 1 && (op.reads_state || op.writes_state)) {
    tensors.push_back(
        {"state", storage(op.format, op.batch * op.channels * (op.kernel - 1)), Residency::cold, op.writes_state});
  }
  return tensors;
}

// ---- causal-conv1d: channels outermost, tokens contiguous -------------------------------------------------------

// csrc/causal_conv1d_fwd.cu: 8 values of 16 bits per thread; neighbours' values go through shared memory behind three
// barriers of each block. TensorRT-LLM compiles it for 64 threads.
constexpr std::uint64_t kCudaThreads = 64, kCudaValues = 8;
constexpr std::uint64_t kCudaBlock = kCudaThreads * kCudaValues;
// Addresses and the pointers of the parameter block before the first load; scalar loads of the taps.
constexpr std::uint64_t kCudaSetUp = 60;

TileProgram channel_kernel(const models::CausalConv& op) {
  const std::uint64_t row = storage(op.format, op.tokens).count();
  const std::uint64_t weight_row = storage(op.format, op.kernel + (op.bias ? 1 : 0)).count();
  const std::uint64_t state_row = storage(op.format, op.kernel - 1).count();
  const auto row_of = [&](std::uint32_t tensor, std::uint64_t bytes, bool of_batch) {
    MatrixView view{tensor, op.channels, bytes, bytes, {}, 0};
    if (of_batch) view.outer[0] = {Var::cta0, static_cast<std::int64_t>(op.channels * bytes)};
    return view;
  };
  const auto block = [&](std::uint32_t tensor, std::uint64_t tokens, bool looped) {
    Box box = tile_box(row_of(tensor, row, true), Var::cta1, 1, looped ? Var::loop0 : Var::none,
                       storage(op.format, tokens).count());
    if (!looped) box.first_column_byte = storage(op.format, op.tokens / kCudaBlock * kCudaBlock).count();
    return box;
  };
  const auto turn = [&](std::uint64_t tokens, bool looped) {
    const std::uint64_t bytes = storage(op.format, kCudaBlock).count();
    std::vector<Op> ops;
    append(ops, GlobalLoad{block(Tensors::input, tokens, looped)}, WaitLoads{});
    if (op.tokens % kCudaValues != 0) {
      append(ops, lane_work(0, kCudaBlock * kTransposeInts, 0, 0), SharedAccess{2 * bytes, 2 * bytes});
    }
    append(ops, CtaBarrier{0}, SharedAccess{bytes, bytes}, CtaBarrier{1}, CtaBarrier{2},
           lane_work(kCudaBlock * lanes_of(op) + kCudaBlock, kCudaBlock, kCudaBlock * (op.silu ? kSiluSpecial : 0), 80,
                     tokens * flops_of(op)),
           GlobalStore{block(Tensors::output, tokens, looped), CopyPath::lsu});
    return ops;
  };
  const std::uint64_t whole = op.tokens / kCudaBlock, rest = op.tokens % kCudaBlock;
  std::vector<Op> ops;
  append(ops, lane_work(kCudaThreads * 20, kCudaThreads * 20, 0, kCudaSetUp),
         GlobalLoad{tile_box(row_of(Tensors::weights, weight_row, false), Var::cta1, 1)});
  const Box state = tile_box(row_of(Tensors::state, state_row, true), Var::cta1, 1);
  const bool stateful = op.kernel > 1;
  if (stateful && op.reads_state) append(ops, GlobalLoad{state});
  append(ops, WaitLoads{});
  if (whole > 0) append(ops, LoopBegin{0}, turn(kCudaBlock, true), LoopEnd{});
  if (rest > 0) append(ops, turn(rest, false));
  if (stateful && op.writes_state) append(ops, GlobalStore{state, CopyPath::lsu});
  TileProgram program =
      one_role(fmt::format("causal_conv_channel_{}", name(op.format)), {kCudaThreads / 32, 40, kCudaBlock * 4},
               tensors_of(op), std::move(ops), {op.batch, op.channels, 1, 1});
  program.groups[0].loops[0] = {0, static_cast<std::int64_t>(whole)};
  return program;
}

// ---- Triton: tokens outermost, channels contiguous ---------------------------------------------------------------

// vllm/model_executor/layers/mamba/ops/causal_conv1d.py (sglang has the same): BLOCK_M 8, BLOCK_N 256, four warps. One
// turn per token: the next token's load stands behind this one's store, which may alias. Taps are products rounded to
// the storage format, then added in FP32 (3 operations each); the division is the full one.
constexpr std::uint64_t kTritonTokens = 8, kTritonChannels = 256, kTritonWarps = 4;
constexpr std::uint64_t kTritonTapFp32 = 3, kTritonSiluFp32 = 14, kTritonSiluSpecial = 2;
constexpr std::uint64_t kTritonInts = 12;        // per output: masks, two addresses, shifting of the taps, loop
constexpr std::uint64_t kTritonTurnChain = 180;  // 30 dependent instructions and two special functions
// Loads that wait for one another before the first token: sequence of this program, its start and end, its cache slot,
// whether it has a state.
constexpr int kTritonLookUps = 3;

void require_few_taps(const models::CausalConv& op) {
  if (op.kernel <= kTritonTokens) return;
  throw ConfigError(
      fmt::format("causal_conv: a kernel of {} taps exceeds the {} that the kernels take", op.kernel, kTritonTokens));
}

TileProgram token_kernel(const models::CausalConv& op) {
  require_few_taps(op);
  const std::uint64_t row = storage(op.format, op.channels).count();
  const std::uint64_t block = storage(op.format, kTritonChannels).count();
  const std::uint64_t lanes = op.kernel * kTritonTapFp32 + kConversions + (op.silu ? kTritonSiluFp32 : 0);
  const auto rows_of = [&](std::uint32_t tensor, std::uint64_t rows, bool of_batch) {
    MatrixView view{tensor, rows, row, row, {}, 0};
    if (of_batch) view.outer[0] = {Var::cta2, static_cast<std::int64_t>(rows * row)};
    return tile_box(view, Var::none, 1, Var::cta0, block);
  };
  // Token loop0 of a chunk. The first chunk of a sequence is a class of its own; the others count from 0 again.
  const auto token_box = [&](std::uint32_t tensor, bool first_chunk) {
    Box box = rows_of(tensor, op.tokens, true);
    box.row_var = Var::loop0;
    box.first_row = first_chunk ? 0 : kTritonTokens;
    box.outer[1] = {Var::cta1, static_cast<std::int64_t>(kTritonTokens * row)};
    return box;
  };
  std::vector<Tensor> tensors = tensors_of(op);
  const auto tables = static_cast<std::uint32_t>(tensors.size());
  tensors.push_back({"sequence tables", Bytes(32), Residency::warm, false});
  const std::uint64_t last_channels = op.channels % kTritonChannels;
  TileProgram program;
  const auto body = [&](std::uint64_t channels, bool first_chunk) {
    std::vector<Op> ops;
    for (int i = 0; i < kTritonLookUps; ++i) {
      append(ops, GlobalLoad{tile_box({tables, 1, 32, 32, {}, 0}, Var::none, 1)}, WaitLoads{});
    }
    if (op.kernel > 1) {
      Box prior = rows_of(first_chunk ? Tensors::state : Tensors::input, first_chunk ? op.kernel - 1 : op.tokens, true);
      prior.rows = static_cast<std::uint32_t>(op.kernel - 1);
      if (!first_chunk) {  // the tokens before this chunk
        prior.row_var = Var::cta1;
        prior.row_step = kTritonTokens;
        prior.first_row = kTritonTokens - (op.kernel - 1);
      }
      if (!first_chunk || op.reads_state) append(ops, GlobalLoad{prior});
      if (first_chunk && op.writes_state) {
        Box last = rows_of(Tensors::input, op.tokens, true);
        last.rows = static_cast<std::uint32_t>(std::min(op.kernel - 1, op.tokens));
        last.first_row = op.tokens - last.rows;
        Box state = rows_of(Tensors::state, op.kernel - 1, true);
        state.rows = static_cast<std::uint32_t>(op.kernel - 1);
        append(ops, GlobalLoad{last}, WaitLoads{}, GlobalStore{state, CopyPath::lsu});
      }
    }
    Box weights = rows_of(Tensors::weights, op.kernel + (op.bias ? 1 : 0), false);
    weights.rows = static_cast<std::uint32_t>(op.kernel + (op.bias ? 1 : 0));
    append(ops, GlobalLoad{weights}, WaitLoads{}, LoopBegin{0}, GlobalLoad{token_box(Tensors::input, first_chunk)},
           WaitLoads{},
           lane_work(kTritonChannels * lanes, kTritonChannels * kTritonInts,
                     kTritonChannels * (op.silu ? kTritonSiluSpecial : 0), kTritonTurnChain, channels * flops_of(op)),
           GlobalStore{token_box(Tensors::output, first_chunk), CopyPath::lsu}, LoopEnd{});
    return ops;
  };
  program.name = fmt::format("causal_conv_token_{}", name(op.format));
  program.tensors = std::move(tensors);
  program.threads_per_cta = kTritonWarps * 32;
  program.registers_per_thread = 40;
  program.shared_memory_per_cta = Bytes(0);
  const std::uint64_t blocks = op.channels / kTritonChannels, rest = op.tokens % kTritonTokens;
  const auto add = [&](std::uint64_t first_block, std::uint64_t block_count, std::uint64_t channels,
                       std::uint64_t first, std::uint64_t count, std::uint64_t tokens) {
    if (block_count == 0 || count == 0) return;
    add_class(program, {"chunk", {Role{"threads", kTritonWarps, body(channels, first == 0)}}, {}},
              {block_count, count, op.batch, 1},
              {static_cast<std::int64_t>(first_block), static_cast<std::int64_t>(first == 0 ? 0 : first - 1), 0, 0});
    program.groups.back().loops[0] = {0, static_cast<std::int64_t>(tokens)};
  };
  const auto columns = [&](std::uint64_t first_block, std::uint64_t block_count, std::uint64_t channels) {
    const std::uint64_t whole = op.tokens / kTritonTokens;
    add(first_block, block_count, channels, 0, 1, whole > 0 ? kTritonTokens : rest);
    if (whole > 1) add(first_block, block_count, channels, 1, whole - 1, kTritonTokens);
    if (whole > 0 && rest > 0) add(first_block, block_count, channels, whole, 1, rest);
  };
  columns(0, blocks, kTritonChannels);
  if (last_channels > 0) columns(blocks, 1, last_channels);
  return program;
}

// ---- Decode ------------------------------------------------------------------------------------------------------

TileProgram update_kernel(const models::CausalConv& op) {
  const std::uint64_t channels = kTritonChannels, rest = op.channels % channels;
  const std::uint64_t row = storage(op.format, op.channels).count(), block = storage(op.format, channels).count();
  const auto rows_of = [&](std::uint32_t tensor, std::uint64_t rows, bool of_batch) {
    MatrixView view{tensor, rows, row, row, {}, 0};
    if (of_batch) view.outer[0] = {Var::cta1, static_cast<std::int64_t>(rows * row)};
    return tile_box(view, Var::none, rows, Var::cta0, block);
  };
  const auto body = [&](std::uint64_t useful) {
    std::vector<Op> ops;
    append(ops, lane_work(0, 20 * channels / 2, 0, 60));
    if (op.kernel > 1 && op.reads_state) append(ops, GlobalLoad{rows_of(Tensors::state, op.kernel - 1, true)});
    append(ops, GlobalLoad{rows_of(Tensors::input, op.tokens, true)},
           GlobalLoad{rows_of(Tensors::weights, op.kernel + (op.bias ? 1 : 0), false)}, WaitLoads{});
    if (op.kernel > 1 && op.writes_state) {
      append(ops, GlobalStore{rows_of(Tensors::state, op.kernel - 1, true), CopyPath::lsu});
    }
    append(ops,
           lane_work(channels * op.tokens * (op.kernel * kTritonTapFp32 + kTritonSiluFp32),
                     channels * op.tokens * kTritonInts, channels * op.tokens * (op.silu ? kTritonSiluSpecial : 0),
                     kTritonTurnChain * op.tokens, useful * op.tokens * flops_of(op)),
           GlobalStore{rows_of(Tensors::output, op.tokens, true), CopyPath::lsu});
    return ops;
  };
  TileProgram program;
  program.name = fmt::format("causal_conv_update_{}", name(op.format));
  program.tensors = tensors_of(op);
  program.threads_per_cta = kTritonWarps * 32;
  program.registers_per_thread = 40;
  program.shared_memory_per_cta = Bytes(0);
  const std::uint64_t blocks = op.channels / channels;
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t useful) {
    if (count == 0) return;
    add_class(program, {"channels", {Role{"threads", kTritonWarps, body(useful)}}, {}}, {count, op.batch, 1, 1},
              {static_cast<std::int64_t>(first), 0, 0, 0});
  };
  add(0, blocks, channels);
  add(blocks, rest > 0 ? 1 : 0, rest);
  return program;
}

// ---- Several filters ---------------------------------------------------------------------------------------------

// Token shifts (RWKV): all mixes of a token with the one before in one pass over the input, as
// fla/ops/rwkv7/fused_addcmul.py writes its six, with the shift itself inside. Filters lie one after the other, each
// [batch, tokens, channels]; a CTA takes all of them for 8 tokens of 256 channels, whose inputs it loads once.
TileProgram shift_kernel(const models::CausalConv& op) {
  const std::uint64_t row = storage(op.format, op.channels).count(),
                      block = storage(op.format, kTritonChannels).count();
  const std::uint64_t prior_rows = op.kernel - 1;
  const auto rows_of = [&](std::uint32_t tensor, std::uint64_t rows, bool of_batch) {
    MatrixView view{tensor, rows, row, row, {}, 0};
    if (of_batch) view.outer[0] = {Var::cta2, static_cast<std::int64_t>(rows * row)};
    return tile_box(view, Var::none, 1, Var::cta0, block);
  };
  const Box state = [&] {
    Box box = rows_of(Tensors::state, prior_rows, true);
    box.rows = static_cast<std::uint32_t>(prior_rows);
    return box;
  }();
  // Tokens of block cta1 from `first` on; the first block is cta1 = 0 of its own group, the others count from 0 again.
  const auto token_rows = [&](std::uint32_t tensor, std::uint64_t rows, std::uint64_t first) {
    Box box = rows_of(tensor, op.tokens, true);
    box.rows = static_cast<std::uint32_t>(rows);
    box.row_var = Var::cta1;
    box.row_step = kTritonTokens;
    box.first_row = first;
    return box;
  };
  TileProgram program;
  program.name = fmt::format("token_shift_{}_{}", op.filters, name(op.format));
  program.tensors = tensors_of(op);
  program.threads_per_cta = kTritonWarps * 32;
  program.registers_per_thread = 64;
  program.shared_memory_per_cta = Bytes(0);
  const auto body = [&](std::uint64_t channels, std::uint64_t tokens, bool first, bool last) {
    const std::uint64_t start = first ? 0 : kTritonTokens;
    std::vector<Op> ops;
    append(ops, lane_work(0, 20 * kTritonChannels / 2, 0, 60));
    if (prior_rows > 0 && first && op.reads_state) append(ops, GlobalLoad{state});
    if (prior_rows > 0 && !first) append(ops, GlobalLoad{token_rows(Tensors::input, prior_rows, start - prior_rows)});
    Box weights = rows_of(Tensors::weights, op.filters * taps_and_bias(op), false);
    weights.rows = static_cast<std::uint32_t>(op.filters * taps_and_bias(op));
    append(ops, GlobalLoad{token_rows(Tensors::input, tokens, start)}, GlobalLoad{weights}, WaitLoads{});
    if (prior_rows > 0 && last && op.writes_state) append(ops, GlobalStore{state, CopyPath::lsu});
    const std::uint64_t computed = kTritonChannels * tokens;  // of each filter, channels beyond the last included
    append(ops, lane_work(computed, computed, 0, 30));        // conversion of the inputs, addresses
    append(ops, LoopBegin{0},
           lane_work(computed * lanes_of(op), computed, computed * (op.silu ? kSiluSpecial : 0), 40,
                     channels * tokens * flops_of(op)));
    Box out = token_rows(Tensors::output, tokens, start);
    out.outer[1] = {Var::loop0, static_cast<std::int64_t>(op.batch * op.tokens * row)};
    append(ops, GlobalStore{out, CopyPath::lsu}, LoopEnd{});
    return ops;
  };
  const auto add = [&](std::uint64_t first_block, std::uint64_t blocks, std::uint64_t channels, std::uint64_t first,
                       std::uint64_t count, std::uint64_t tokens, bool last) {
    if (blocks == 0 || count == 0) return;
    add_class(program, {"tokens", {Role{"threads", kTritonWarps, body(channels, tokens, first == 0, last)}}, {}},
              {blocks, count, op.batch, 1},
              {static_cast<std::int64_t>(first_block), static_cast<std::int64_t>(first == 0 ? 0 : first - 1), 0, 0});
    program.groups.back().loops[0] = {0, static_cast<std::int64_t>(op.filters)};
  };
  const auto columns = [&](std::uint64_t first_block, std::uint64_t blocks, std::uint64_t channels) {
    const std::uint64_t chunks = ceil_div(op.tokens, kTritonTokens);
    const std::uint64_t last_tokens = op.tokens - (chunks - 1) * kTritonTokens;
    add(first_block, blocks, channels, 0, 1, chunks > 1 ? kTritonTokens : last_tokens, chunks == 1);
    if (chunks > 2) add(first_block, blocks, channels, 1, chunks - 2, kTritonTokens, false);
    if (chunks > 1) add(first_block, blocks, channels, chunks - 1, 1, last_tokens, true);
  };
  columns(0, op.channels / kTritonChannels, kTritonChannels);
  if (op.channels % kTritonChannels > 0) columns(op.channels / kTritonChannels, 1, op.channels % kTritonChannels);
  return program;
}

// Tokens of a sequence that one update takes (speculative decoding verifies a few at a time).
constexpr std::uint64_t kUpdateTokens = 8;

}  // namespace

TileProgram causal_conv_program(const models::CausalConv& op, const GpuSpec& gpu, KernelLibrary library) {
  (void)models::cost(models::Operator(op));  // sizes are at least one and their products fit
  if (op.filters != 1) {
    require_few_taps(op);
    return shift_kernel(op);
  }
  if (op.reads_state && op.tokens <= kUpdateTokens) return update_kernel(op);
  const bool ampere = gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync;
  const bool by_channel = library == KernelLibrary::tensorrt_llm || (library == KernelLibrary::sglang && ampere);
  return by_channel ? channel_kernel(op) : token_kernel(op);
}

}  // namespace lightcone::scenarios
