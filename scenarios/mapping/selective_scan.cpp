// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/selective_scan.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// Of one value and state. FP32: delta A, B times delta x, conversions of B and C, the thread's own reduction and its
// second pass (a product and a multiply-add each), y += C h. Integer: shared-memory addresses of the transposes.
constexpr std::uint64_t kStateFp32 = 9, kStateInts = 2;
// Of one value, outside the loop over states: conversions, softplus and delta x, D x; the gate.
constexpr std::uint64_t kValueFp32 = 10, kGateFp32 = 5, kValueInts = 4;
// Block scan of one state: five shuffle steps of two values in the warp (24 cycles each), the warps' totals through
// shared memory (write, barrier, read), and the way back to the thread's own values.
constexpr std::uint64_t kWarpScan = 5 * 24, kBlockScan = 2 * 30 + 20;

std::uint64_t flops_per_value(const models::SelectiveScan& op) { return 6 * op.state + (op.gated ? 6 : 3); }

// Threads and values per thread by the sequence's length (selective_scan_fwd_cuda).
struct ScanShape {
  std::uint64_t threads, items;
};
ScanShape scan_shape(std::uint64_t tokens) {
  if (tokens <= 128) return {32, 4};
  if (tokens <= 256) return {32, 8};
  if (tokens <= 512) return {32, 16};
  if (tokens <= 1024) return {64, 16};
  return {128, 16};
}

enum Index : std::uint32_t { kX, kDelta, kB, kC, kWeights, kY, kState, kGate };

std::vector<Tensor> tensors_of(const models::SelectiveScan& op) {
  const Bytes values = storage(op.format, op.batch * op.tokens * op.channels);
  const Bytes shared = storage(op.format, op.batch * op.tokens * op.state);
  std::vector<Tensor> tensors{
      {"x", values, Residency::warm, false},
      {"delta", values, Residency::warm, false},
      {"B", shared, Residency::warm, false},
      {"C", shared, Residency::warm, false},
      {"A, D, bias", storage(NumberFormat::fp32, op.channels * (op.state + 2)), Residency::cold, false},
      {"y", values, Residency::warm, true},
      {"state", storage(op.state_format, op.batch * op.channels * op.state), Residency::cold, op.writes_state}};
  if (op.gated) tensors.push_back({"z", values, Residency::warm, false});
  return tensors;
}

TileProgram scan_kernel(const models::SelectiveScan& op) {
  const ScanShape shape = scan_shape(op.tokens);
  const std::uint64_t block = shape.threads * shape.items, whole = op.tokens / block, rest = op.tokens % block;
  const std::uint64_t row = storage(op.format, op.tokens).count(), bytes = storage(op.format, block).count();
  // Row of a channel (cta1) or of a state (loop1) of sequence cta0; a block of its tokens.
  const auto box_of = [&](std::uint32_t tensor, std::uint64_t rows, Var row_var, bool looped) {
    MatrixView view{tensor, rows, row, row, {}, 0};
    view.outer[0] = {Var::cta0, static_cast<std::int64_t>(rows * row)};
    Box box = tile_box(view, row_var, 1, looped ? Var::loop0 : Var::none, bytes);
    if (!looped) box.first_column_byte = whole * bytes;
    return box;
  };
  const auto turn = [&](std::uint64_t tokens, bool looped) {
    std::vector<Op> ops;
    append(ops, CtaBarrier{0}, GlobalLoad{box_of(kX, op.channels, Var::cta1, looped)},
           GlobalLoad{box_of(kDelta, op.channels, Var::cta1, looped)}, WaitLoads{}, SharedAccess{2 * bytes, 2 * bytes},
           lane_work(block * kValueFp32, block * kValueInts, 2 * block, 60,
                     tokens * (flops_per_value(op) - 6 * op.state)));
    append(ops, LoopBegin{1}, GlobalLoad{box_of(kB, op.state, Var::loop1, looped)},
           GlobalLoad{box_of(kC, op.state, Var::loop1, looped)}, WaitLoads{}, SharedAccess{2 * bytes, 2 * bytes},
           lane_work(block * kStateFp32, block * kStateInts, block, kWarpScan + (shape.threads > 32 ? kBlockScan : 0),
                     tokens * 6),
           CtaBarrier{1}, LoopEnd{});
    if (op.gated) {
      append(ops, GlobalLoad{box_of(kGate, op.channels, Var::cta1, looped)}, WaitLoads{}, SharedAccess{bytes, bytes},
             lane_work(block * kGateFp32, block, 2 * block, 60));
    }
    append(ops, SharedAccess{bytes, bytes}, GlobalStore{box_of(kY, op.channels, Var::cta1, looped), CopyPath::lsu});
    return ops;
  };
  const std::uint64_t weight_row = storage(NumberFormat::fp32, op.state + 2).count();
  const std::uint64_t state_row = storage(op.state_format, op.state).count();
  MatrixView states{kState, op.channels, state_row, state_row, {}, 0};
  states.outer[0] = {Var::cta0, static_cast<std::int64_t>(op.channels * state_row)};
  const Box state = tile_box(states, Var::cta1, 1);
  std::vector<Op> ops;
  append(ops, GlobalLoad{tile_box({kWeights, op.channels, weight_row, weight_row, {}, 0}, Var::cta1, 1)});
  if (op.reads_state) append(ops, GlobalLoad{state});
  append(ops, WaitLoads{});
  // A loop of no turns leaves loop1 at 0, so the tail may run the loop over states again.
  if (whole > 0) append(ops, LoopBegin{0}, turn(block, true), LoopEnd{});
  if (rest > 0) append(ops, turn(rest, false));
  if (op.writes_state) append(ops, GlobalStore{state, CopyPath::lsu});
  TileProgram program = one_role(fmt::format("selective_scan_{}_{}", name(op.format), block),
                                 {static_cast<std::uint32_t>(shape.threads / 32), 128, 4 * bytes + 8 * op.state},
                                 tensors_of(op), std::move(ops), {op.batch, op.channels, 1, 1});
  program.groups[0].loops = {LoopRange{0, static_cast<std::int64_t>(whole)},
                             LoopRange{0, static_cast<std::int64_t>(op.state)}};
  return program;
}

// Channels and warps of a CTA by the state's size (selective_state_update).
std::uint64_t update_channels(std::uint64_t state) {
  if (state <= 16) return 32;
  if (state <= 32) return 16;
  if (state <= 64) return 8;
  return 4;
}

TileProgram update_kernel(const models::SelectiveScan& op) {
  constexpr std::uint32_t kWarps = 4;
  const std::uint64_t channels = update_channels(op.state);
  const std::uint64_t state_row = storage(op.state_format, op.state).count();
  const std::uint64_t weight_row = storage(NumberFormat::fp32, op.state + 2).count();
  const std::uint64_t row = storage(op.format, op.channels).count(), shared = storage(op.format, op.state).count();
  const auto values = [&](std::uint32_t tensor) {
    return tile_box({tensor, op.batch, row, row, {}, 0}, Var::cta1, 1, Var::cta0, storage(op.format, channels).count());
  };
  const auto of_state = [&](std::uint32_t tensor) {
    return tile_box({tensor, op.batch, shared, shared, {}, 0}, Var::cta1, 1);
  };
  MatrixView states{kState, op.channels, state_row, state_row, {}, 0};
  states.outer[0] = {Var::cta1, static_cast<std::int64_t>(op.channels * state_row)};
  const Box state = tile_box(states, Var::cta0, channels);
  const auto body = [&](std::uint64_t useful) {
    const std::uint64_t steps = channels * op.state;
    std::vector<Op> ops;
    append(ops, lane_work(0, 20 * kWarps * 32, 0, 60));
    if (op.reads_state) append(ops, GlobalLoad{state});
    append(ops, GlobalLoad{tile_box({kWeights, op.channels, weight_row, weight_row, {}, 0}, Var::cta0, channels)},
           GlobalLoad{values(kX)}, GlobalLoad{values(kDelta)}, GlobalLoad{of_state(kB)}, GlobalLoad{of_state(kC)});
    if (op.gated) append(ops, GlobalLoad{values(kGate)});
    append(ops, WaitLoads{},
           lane_work(7 * steps + (kValueFp32 + kGateFp32) * channels, 2 * steps, steps + 4 * channels, 200,
                     useful * flops_per_value(op)));
    if (op.writes_state) append(ops, GlobalStore{state, CopyPath::lsu});
    append(ops, GlobalStore{values(kY), CopyPath::lsu});
    return ops;
  };
  const std::uint64_t blocks = op.channels / channels, rest = op.channels % channels;
  TileProgram program;
  program.name = fmt::format("selective_state_update_{}", name(op.format));
  program.tensors = tensors_of(op);
  program.threads_per_cta = kWarps * 32;
  program.registers_per_thread = 48;
  program.shared_memory_per_cta = Bytes(512);
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t useful) {
    if (count == 0) return;
    add_class(program, {"channels", {Role{"threads", kWarps, body(useful)}}, {}}, {count, op.batch, 1, 1},
              {static_cast<std::int64_t>(first), 0, 0, 0});
  };
  add(0, blocks, channels);
  add(blocks, rest > 0 ? 1 : 0, rest);
  return program;
}

}  // namespace

TileProgram selective_scan_program(const models::SelectiveScan& op) {
  (void)models::cost(models::Operator(op));  // sizes are at least one and their products fit
  return op.tokens == 1 ? update_kernel(op) : scan_kernel(op);
}

}  // namespace lightcone::scenarios
