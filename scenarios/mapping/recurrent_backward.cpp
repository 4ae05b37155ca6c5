// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/recurrent_backward.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/backward_rows.h"
#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kSumBytes = 4;  // fp32

// ---- causal-conv1d -------------------------------------------------------------------------------------------

// Threads and 16-bit values per thread (causal_conv1d_bwd_cuda); neighbours' values through shared memory behind
// barriers, the taps' gradients summed over the CTA at the end.
constexpr std::uint64_t kConvThreads = 128, kConvValues = 8, kConvBlock = kConvThreads * kConvValues;
// SiLU's slope with expf and an IEEE division, as in the forward kernel.
constexpr std::uint64_t kSlopeFp32 = 20, kSlopeSpecial = 3, kConversions = 3;

// ---- Mamba-1 -------------------------------------------------------------------------------------------------

// Of one value and state: the forward's reduction and its second pass (exponent, product, two multiply-adds twice), the
// same from the back, and the gradients: of C, B, A, delta and u. Integer: addresses of the transposes and atomics.
constexpr std::uint64_t kStateFp32 = 30, kStateInts = 6;
constexpr std::uint64_t kValueFp32 = 24, kGateFp32 = 14, kValueInts = 8;
constexpr std::uint64_t kWarpScan = 5 * 24, kBlockScan = 2 * 30 + 20;  // as in selective_scan.cpp; here there are two

struct ScanShape {
  std::uint64_t threads, items;
};
ScanShape scan_shape(std::uint64_t tokens) {  // selective_scan_bwd_cuda
  if (tokens <= 128) return {32, 4};
  if (tokens <= 256) return {32, 8};
  if (tokens <= 512) return {32, 16};
  if (tokens <= 1024) return {64, 16};
  return {128, 16};
}

enum ScanTensor : std::uint32_t {
  kX,
  kDelta,
  kB,
  kC,
  kWeights,
  kDy,
  kStates,
  kDx,
  kDdelta,
  kDb,
  kDc,
  kDweights,
  kGate,
  kDgate
};

std::vector<Tensor> scan_tensors(const models::SelectiveScan& s) {
  const Bytes values = storage(s.format, s.batch * s.tokens * s.channels);
  const Bytes shared = storage(s.format, s.batch * s.tokens * s.state);
  const Bytes sums(s.batch * s.tokens * s.state * kSumBytes);
  const Bytes weights(s.channels * (s.state + 2) * kSumBytes);
  const Bytes states = storage(s.state_format, models::scan_chunks(s) * s.batch * s.channels * s.state);
  std::vector<Tensor> tensors{{"x", values, Residency::cold, false},
                              {"delta", values, Residency::cold, false},
                              {"B", shared, Residency::cold, false},
                              {"C", shared, Residency::cold, false},
                              {"A, D, bias", weights, Residency::cold, false},
                              {"output_gradient", values, Residency::warm, false},
                              {"states", states, Residency::cold, false},
                              {"x_gradient", values, Residency::warm, true},
                              {"delta_gradient", values, Residency::warm, true},
                              {"B_gradient_workspace", sums, Residency::warm, true},
                              {"C_gradient_workspace", sums, Residency::warm, true},
                              {"weight_gradients", weights, Residency::warm, true}};
  if (s.gated) {
    tensors.push_back({"z", values, Residency::cold, false});
    tensors.push_back({"z_gradient", values, Residency::warm, true});
  }
  return tensors;
}

}  // namespace

TileProgram causal_conv_backward_program(const models::Backward<models::CausalConv>& backward) {
  const models::CausalConv& op = backward.forward;
  const models::Cost cost = models::cost(models::Operator(backward));
  const std::uint64_t results = op.channels * op.filters;  // rows of dy, each with taps of its own
  const std::uint64_t row = storage(op.format, op.tokens).count();
  const std::uint64_t taps = storage(op.format, op.kernel + (op.bias ? 1 : 0)).count();
  const std::uint64_t sums = storage(backward.weight_gradient, op.kernel + (op.bias ? 1 : 0)).count();
  const std::uint64_t bytes = storage(op.format, kConvBlock).count();
  const std::uint64_t whole = op.tokens / kConvBlock, rest = op.tokens % kConvBlock;
  enum : std::uint32_t { kInput, kTaps, kGradient, kInputGradient, kTapGradient };
  // `per_channel`: the filters of a channel (cta2) share its row.
  const auto block = [&](std::uint32_t tensor, std::uint64_t rows, bool looped) {
    MatrixView view{tensor, op.channels, row, row * (rows / op.channels), {}, 0};
    view.outer[0] = {Var::cta0, static_cast<std::int64_t>(rows * row)};
    if (rows > op.channels) view.outer[1] = {Var::loop1, static_cast<std::int64_t>(row)};
    Box box = tile_box(view, Var::cta1, 1, looped ? Var::loop0 : Var::none, bytes);
    if (!looped) box.first_column_byte = whole * bytes;
    return box;
  };
  const std::uint64_t per_value = cost.vector_flops.count() / (op.batch * op.tokens * results);
  const std::uint64_t lanes = 2 * op.kernel + (op.silu ? op.kernel + kSlopeFp32 : 0) + kConversions;
  const auto turn = [&](std::uint64_t tokens, bool looped) {
    std::vector<Op> ops;
    append(ops, GlobalLoad{block(kInput, op.channels, looped)}, WaitLoads{}, LoopBegin{1},
           GlobalLoad{block(kGradient, results, looped)}, WaitLoads{}, CtaBarrier{0},
           SharedAccess{2 * bytes, 2 * bytes}, CtaBarrier{1},
           lane_work(kConvBlock * lanes, kConvBlock * 2, kConvBlock * (op.silu ? kSlopeSpecial : 0), 120,
                     tokens * per_value),
           LoopEnd{}, GlobalStore{block(kInputGradient, op.channels, looped), CopyPath::lsu});
    return ops;
  };
  const auto tap_box = [&](std::uint32_t tensor, std::uint64_t tap_row) {
    return tile_box({tensor, op.channels, op.filters * tap_row, op.filters * tap_row, {}, 0}, Var::cta1, 1);
  };
  std::vector<Op> ops;
  append(ops, lane_work(kConvThreads * 20, kConvThreads * 20, 0, 60), GlobalLoad{tap_box(kTaps, taps)}, WaitLoads{});
  if (whole > 0) append(ops, LoopBegin{0}, turn(kConvBlock, true), LoopEnd{});
  if (rest > 0) append(ops, turn(rest, false));
  append(ops, lane_work(op.filters * op.kernel * kConvThreads, 0, 0, 150),
         GlobalStore{tap_box(kTapGradient, sums), CopyPath::lsu});
  const Bytes input = storage(op.format, op.batch * op.tokens * op.channels);
  TileProgram program =
      one_role(fmt::format("causal_conv_backward_{}", name(op.format)), {kConvThreads / 32, 64, 2 * bytes + 4096},
               {{"input", input, Residency::cold, false},
                {"weights", Bytes(op.channels * op.filters * taps), Residency::cold, false},
                {"output_gradient", storage(op.format, op.batch * op.tokens * results), Residency::warm, false},
                {"input_gradient", input, Residency::warm, true},
                {"weight_gradients", Bytes(op.channels * op.filters * sums), Residency::warm, true}},
               std::move(ops), {op.batch, op.channels, 1, 1});
  program.groups[0].loops = {LoopRange{0, static_cast<std::int64_t>(whole)},
                             LoopRange{0, static_cast<std::int64_t>(op.filters)}};
  return program;
}

// Blocks of tokens are copied ahead into shared memory; a thread per channel walks them.
TileProgram linear_scan_backward_program(const models::Backward<models::LinearScan>& backward) {
  constexpr std::uint64_t kChannels = 128, kTokens = 32, kFmaLatency = 4, kSumBytes = 4;
  constexpr std::uint32_t kScanWarps = 4;
  const models::LinearScan& op = backward.forward;
  (void)models::cost(models::Operator(backward));
  const std::uint64_t parts = op.complex_values ? 2 : 1, flops = op.complex_values ? 14 : 3;
  const std::uint32_t stages = op.complex_values ? 2 : 4;
  const std::uint64_t row = storage(op.format, op.channels * parts).count();
  const std::uint64_t block = storage(op.format, kChannels * parts).count();
  const std::uint64_t decay_row = kSumBytes * op.channels * parts, decay_block = kSumBytes * kChannels * parts;
  const std::uint64_t turns = ceil_div(op.tokens, kTokens), values = kTokens * kChannels * parts;
  TileProgram program;
  program.name = fmt::format("linear_scan_backward{}_{}", op.constant ? "_constant" : "", name(op.format));
  const Bytes all = storage(op.format, op.batch * op.tokens * op.channels * parts);
  // Per token: h and dy in, the gradient of b out, and a with its gradient unless it is a parameter of the channel.
  std::vector<std::uint32_t> inputs{0, 1}, outputs{2};
  program.tensors = {{"h", all, Residency::cold, false},
                     {"output_gradient", all, Residency::warm, false},
                     {"b_gradient", all, Residency::warm, true}};
  if (op.constant) {
    program.tensors.push_back({"a", Bytes(decay_row), Residency::cold, false});
    program.tensors.push_back({"a_gradient", Bytes(decay_row), Residency::warm, true});
  } else {
    program.tensors.push_back({"a", all, Residency::cold, false});
    program.tensors.push_back({"a_gradient", all, Residency::warm, true});
    inputs.push_back(3);
    outputs.push_back(4);
  }
  const auto tokens_of = [&](std::uint32_t tensor) {
    MatrixView view{tensor, op.tokens, row, row, {}, 0};
    view.outer[0] = {Var::cta1, static_cast<std::int64_t>(op.tokens * row)};
    return tile_box(view, Var::loop0, std::min(kTokens, op.tokens), Var::cta0, block);
  };
  const auto decays_of = [&](std::uint32_t tensor) {
    return tile_box({tensor, 1, decay_row, decay_row, {}, 0}, Var::none, 1, Var::cta0, decay_block);
  };
  program.threads_per_cta = (kScanWarps + 1) * 32;
  program.registers_per_thread = 48;
  program.shared_memory_per_cta = Bytes(stages * kTokens * inputs.size() * block);
  Role copies{"copies", 1, {LoopBegin{0}, AcquireStage{0}}};
  for (const std::uint32_t tensor : inputs) append(copies.ops, LoadTile{0, tokens_of(tensor)});
  append(copies.ops, CommitStage{0}, LoopEnd{});
  Role scan{"scan", kScanWarps, {}};
  if (op.constant) append(scan.ops, GlobalLoad{decays_of(3)}, WaitLoads{});
  append(scan.ops, LoopBegin{0}, WaitStage{0}, SharedAccess{storage(op.format, inputs.size() * values).count(), 0},
         lane_work(values * ((flops + 1) / 2) + (inputs.size() + outputs.size()) * values, values, 0,
                   kTokens * kFmaLatency * parts, values / parts * flops),
         ReleaseStage{0});
  for (const std::uint32_t tensor : outputs) append(scan.ops, GlobalStore{tokens_of(tensor), CopyPath::lsu});
  append(scan.ops, LoopEnd{});
  // Each sequence adds its sum to the parameter's gradient.
  if (op.constant) append(scan.ops, GlobalStore{decays_of(4), CopyPath::lsu});
  program.classes = {{"channels", {copies, scan}, {Pipe{"tokens", stages, 1}}}};
  add_group(program, 0, {ceil_div(op.channels, kChannels), op.batch, 1, 1});
  program.groups[0].loops[0] = {0, static_cast<std::int64_t>(turns)};
  return program;
}

std::vector<TileProgram> selective_scan_backward_programs(const models::Backward<models::SelectiveScan>& backward) {
  const models::SelectiveScan& op = backward.forward;
  (void)models::cost(models::Operator(backward));
  const ScanShape shape = scan_shape(op.tokens);
  const std::uint64_t block = shape.threads * shape.items, whole = op.tokens / block, rest = op.tokens % block;
  const std::uint64_t value_bytes = storage(op.format, 1).count();
  // Row of a channel (cta1) or of a state (loop1) of sequence cta0; a block of its tokens.
  const auto box_of = [&](std::uint32_t tensor, std::uint64_t rows, Var row_var, bool looped, std::uint64_t value) {
    const std::uint64_t row = op.tokens * value, bytes = block * value;
    MatrixView view{tensor, rows, row, row, {}, 0};
    view.outer[0] = {Var::cta0, static_cast<std::int64_t>(rows * row)};
    Box box = tile_box(view, row_var, 1, looped ? Var::loop0 : Var::none, bytes);
    if (!looped) box.first_column_byte = whole * bytes;
    return box;
  };
  const std::uint64_t bytes = block * value_bytes;
  const auto turn = [&](std::uint64_t tokens, bool looped) {
    const auto channel = [&](std::uint32_t tensor) {
      return box_of(tensor, op.channels, Var::cta1, looped, value_bytes);
    };
    const auto state = [&](std::uint32_t tensor, std::uint64_t value) {
      return box_of(tensor, op.state, Var::loop1, looped, value);
    };
    std::vector<Op> ops;
    append(ops, CtaBarrier{0}, GlobalLoad{channel(kX)}, GlobalLoad{channel(kDelta)}, GlobalLoad{channel(kDy)});
    if (op.gated) append(ops, GlobalLoad{channel(kGate)});
    append(ops, WaitLoads{}, SharedAccess{4 * bytes, 4 * bytes},
           lane_work(block * (kValueFp32 + (op.gated ? kGateFp32 : 0)), block * kValueInts, block * (op.gated ? 5 : 3),
                     120, tokens * (op.gated ? 16 : 8)),
           LoopBegin{1}, GlobalLoad{state(kB, value_bytes)}, GlobalLoad{state(kC, value_bytes)}, WaitLoads{},
           SharedAccess{4 * bytes, 4 * bytes},
           lane_work(block * kStateFp32, block * kStateInts, block,
                     2 * (kWarpScan + (shape.threads > 32 ? kBlockScan : 0)), tokens * (op.gated ? 21 : 19)),
           CtaBarrier{1}, GlobalStore{state(kDb, kSumBytes), CopyPath::lsu},
           GlobalStore{state(kDc, kSumBytes), CopyPath::lsu}, LoopEnd{}, GlobalStore{channel(kDx), CopyPath::lsu},
           GlobalStore{channel(kDdelta), CopyPath::lsu});
    if (op.gated) append(ops, GlobalStore{channel(kDgate), CopyPath::lsu});
    return ops;
  };
  const std::uint64_t weight_row = (op.state + 2) * kSumBytes;
  const auto weights = [&](std::uint32_t tensor) {
    return tile_box({tensor, op.channels, weight_row, weight_row, {}, 0}, Var::cta1, 1);
  };
  // The states of all chunks of the channel, read as they are needed; here at once.
  const std::uint64_t state_row = storage(op.state_format, models::scan_chunks(op) * op.state).count();
  MatrixView states{kStates, op.channels, state_row, state_row, {}, 0};
  states.outer[0] = {Var::cta0, static_cast<std::int64_t>(op.channels * state_row)};
  std::vector<Op> ops;
  append(ops, GlobalLoad{weights(kWeights)}, GlobalLoad{tile_box(states, Var::cta1, 1)}, WaitLoads{});
  if (whole > 0) append(ops, LoopBegin{0}, turn(block, true), LoopEnd{});
  if (rest > 0) append(ops, turn(rest, false));
  append(ops, lane_work(0, 0, 0, 150), GlobalStore{weights(kDweights), CopyPath::lsu});
  TileProgram program = one_role(fmt::format("selective_scan_backward_{}_{}", name(op.format), block),
                                 {static_cast<std::uint32_t>(shape.threads / 32), 168, 8 * bytes + 16 * op.state},
                                 scan_tensors(op), std::move(ops), {op.batch, op.channels, 1, 1});
  program.groups[0].loops = {LoopRange{0, static_cast<std::int64_t>(whole)},
                             LoopRange{0, static_cast<std::int64_t>(op.state)}};
  const std::uint64_t sums = op.batch * op.tokens * op.state * kSumBytes;
  return {clear_program(sums), clear_program(sums), std::move(program)};
}

}  // namespace lightcone::scenarios
