// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/linear_scan.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kChannels = 128, kTokens = 32;  // of a CTA, of one block
constexpr std::uint32_t kStages = 4, kWarps = 4;
constexpr std::uint64_t kFmaLatency = 4;  // cycles of one dependent multiply-add
enum Index : std::uint32_t { kA, kB, kH, kState };

// ---- Systems of states -------------------------------------------------------------------------------------------

// One step of S4D (state-spaces/s4, models/s4/s4d.py: step), token after token where there are several: a CTA keeps the
// states of its channels in registers and sums over them across its lanes.
constexpr std::uint64_t kSystemChannels = 32;
constexpr std::uint64_t kLaneSum = 5 * 24;  // cycles of five shuffles

TileProgram system_program(const models::LinearScan& op) {
  const std::uint64_t parts = op.complex_values ? 2 : 1, flops = op.complex_values ? 14 : 5;
  const std::uint64_t row = storage(op.format, op.channels).count(), kept = op.states * parts;
  const std::uint64_t state_row = storage(op.state_format, kept).count(), weight_row = 3 * 4 * kept;
  const auto token = [&](std::uint32_t tensor) {
    MatrixView view{tensor, op.tokens, row, row, {}, 0};
    view.outer[0] = {Var::cta1, static_cast<std::int64_t>(op.tokens * row)};
    return tile_box(view, Var::loop0, 1, Var::cta0, storage(op.format, kSystemChannels).count());
  };
  MatrixView states{kState, op.channels, state_row, state_row, {}, 0};
  states.outer[0] = {Var::cta1, static_cast<std::int64_t>(op.channels * state_row)};
  const Box state = tile_box(states, Var::cta0, kSystemChannels);
  const auto body = [&](std::uint64_t useful) {
    const std::uint64_t values = kSystemChannels * op.states;
    std::vector<Op> ops;
    append(ops, GlobalLoad{tile_box({kA, op.channels, weight_row, weight_row, {}, 0}, Var::cta0, kSystemChannels)});
    if (op.reads_state) append(ops, GlobalLoad{state});
    append(ops, WaitLoads{}, LoopBegin{0}, GlobalLoad{token(kB)}, WaitLoads{},
           lane_work(values * (flops / 2 + 1) + 2 * kSystemChannels, values / 4, 0, 6 * kFmaLatency + kLaneSum,
                     useful * op.states * flops),
           GlobalStore{token(kH), CopyPath::lsu}, LoopEnd{});
    if (op.writes_state) append(ops, GlobalStore{state, CopyPath::lsu});
    return ops;
  };
  TileProgram program;
  program.name = fmt::format("state_system_{}_{}", op.states, name(op.format));
  const Bytes all = storage(op.format, op.batch * op.tokens * op.channels);
  program.tensors = {{"coefficients", Bytes(op.channels * weight_row), Residency::cold, false},
                     {"u", all, Residency::warm, false},
                     {"y", all, Residency::warm, true},
                     {"state", Bytes(op.batch * op.channels * state_row), Residency::cold, op.writes_state}};
  program.threads_per_cta = kWarps * 32;
  const std::uint64_t per_thread = ceil_div(kSystemChannels * kept * 4, kWarps * 32ull);  // the state, a, b and c
  if (per_thread > 200) {
    throw ConfigError(fmt::format("linear_scan: {} states of a channel do not fit the registers of a CTA", op.states));
  }
  program.registers_per_thread = static_cast<std::uint32_t>(40 + per_thread);
  program.shared_memory_per_cta = Bytes(0);
  const std::uint64_t blocks = op.channels / kSystemChannels, rest = op.channels % kSystemChannels;
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t useful) {
    if (count == 0) return;
    add_class(program, {"channels", {Role{"threads", kWarps, body(useful)}}, {}}, {count, op.batch, 1, 1},
              {static_cast<std::int64_t>(first), 0, 0, 0});
    program.groups.back().loops[0] = {0, static_cast<std::int64_t>(op.tokens)};
  };
  add(0, blocks, kSystemChannels);
  add(blocks, rest > 0 ? 1 : 0, rest);
  return program;
}

}  // namespace

TileProgram linear_scan_program(const models::LinearScan& op) {
  (void)models::cost(models::Operator(op));  // sizes are at least one and their products fit
  if (op.states > 0) return system_program(op);
  const std::uint64_t parts = op.complex_values ? 2 : 1, flops = op.complex_values ? 8 : 2;
  const std::uint64_t row = storage(op.format, op.channels * parts).count();
  const std::uint64_t block = storage(op.format, kChannels * parts).count();
  const auto tokens_of = [&](std::uint32_t tensor, Var var) {
    MatrixView view{tensor, op.tokens, row, row, {}, 0};
    view.outer[0] = {Var::cta1, static_cast<std::int64_t>(op.tokens * row)};
    return tile_box(view, var, std::min(kTokens, op.tokens), Var::cta0, block);
  };
  const std::uint64_t state_row = storage(op.state_format, op.channels * parts).count();
  const Box state = tile_box({kState, op.batch, state_row, state_row, {}, 0}, Var::cta1, 1, Var::cta0,
                             storage(op.state_format, kChannels * parts).count());
  const std::uint64_t turns = ceil_div(op.tokens, kTokens), last_tokens = op.tokens - (turns - 1) * kTokens;
  const std::uint64_t values = kTokens * kChannels * parts;

  TileProgram program;
  program.name = fmt::format("linear_scan_{}", name(op.format));
  const Bytes all = storage(op.format, op.batch * op.tokens * op.channels * parts);
  const std::uint64_t decay_row = 4 * op.channels * parts;  // of a constant a
  program.tensors = {
      op.constant ? Tensor{"a", Bytes(decay_row), Residency::cold, false} : Tensor{"a", all, Residency::warm, false},
      {"b", all, Residency::warm, false},
      {"h", all, Residency::warm, true}};
  if (op.reads_state || op.writes_state) {
    program.tensors.push_back(
        {"state", storage(op.state_format, op.batch * op.channels * parts), Residency::cold, op.writes_state});
  }
  program.threads_per_cta = (kWarps + 1) * 32;
  program.registers_per_thread = 40;
  program.shared_memory_per_cta = Bytes(kStages * kTokens * 2 * block);

  // `useful`: channels of the CTA that exist. Whole blocks of tokens run in a loop, the last one after it.
  const auto class_of = [&](std::uint64_t useful) {
    const auto work = [&](std::uint64_t tokens) {
      return lane_work(values * (op.complex_values ? 4 : 1) + 3 * values, values, 0, tokens * kFmaLatency * parts,
                       useful * tokens * flops);
    };
    const std::uint64_t staged = storage(op.format, (op.constant ? 1 : 2) * values).count();
    std::vector<Op> copies, compute;
    append(copies, LoopBegin{0}, AcquireStage{0});
    if (!op.constant) append(copies, LoadTile{0, tokens_of(kA, Var::loop0)});
    append(copies, LoadTile{0, tokens_of(kB, Var::loop0)}, CommitStage{0}, LoopEnd{});
    if (op.constant) {
      append(compute, GlobalLoad{tile_box({kA, 1, decay_row, decay_row, {}, 0}, Var::none, 1, Var::cta0,
                                          4 * kChannels * parts)});
    }
    if (op.reads_state) append(compute, GlobalLoad{state});
    append(compute, WaitLoads{});
    const auto turn = [&](std::uint64_t tokens) {
      std::vector<Op> ops;
      append(ops, WaitStage{0}, SharedAccess{staged, 0}, work(tokens), ReleaseStage{0},
             GlobalStore{tokens_of(kH, Var::loop1), CopyPath::lsu});
      return ops;
    };
    append(compute, LoopBegin{1}, turn(kTokens), LoopEnd{}, turn(last_tokens));
    if (op.writes_state) append(compute, GlobalStore{state, CopyPath::lsu});
    return CtaClass{"channels",
                    {Role{"copies", 1, std::move(copies)}, Role{"scan", kWarps, std::move(compute)}},
                    {Pipe{"tokens", kStages, 1}}};
  };
  const std::uint64_t blocks = op.channels / kChannels, rest = op.channels % kChannels;
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t useful) {
    if (count == 0) return;
    add_class(program, class_of(useful), {count, op.batch, 1, 1}, {static_cast<std::int64_t>(first), 0, 0, 0});
    program.groups.back().loops = {LoopRange{0, static_cast<std::int64_t>(turns)},
                                   LoopRange{0, static_cast<std::int64_t>(turns - 1)}};
  };
  add(0, blocks, kChannels);
  add(blocks, rest > 0 ? 1 : 0, rest);
  return program;
}

}  // namespace lightcone::scenarios
