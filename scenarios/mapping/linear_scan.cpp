// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/linear_scan.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/recurrent_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kChannels = 128, kTokens = 32;  // of a CTA, of one block
constexpr std::uint32_t kStages = 4, kWarps = 4;
constexpr std::uint64_t kFmaLatency = 4;  // cycles of one dependent multiply-add
enum Index : std::uint32_t { kA, kB, kH, kState };

}  // namespace

TileProgram linear_scan_program(const models::LinearScan& op) {
  (void)models::cost(models::Operator(op));  // sizes are at least one and their products fit
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
  program.tensors = {
      {"a", all, Residency::warm, false}, {"b", all, Residency::warm, false}, {"h", all, Residency::warm, true}};
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
    const std::uint64_t staged = storage(op.format, 2 * values).count();
    std::vector<Op> copies, compute;
    append(copies, LoopBegin{0}, AcquireStage{0}, LoadTile{0, tokens_of(kA, Var::loop0)},
           LoadTile{0, tokens_of(kB, Var::loop0)}, CommitStage{0}, LoopEnd{});
    if (op.reads_state) append(compute, GlobalLoad{state}, WaitLoads{});
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
    program.classes.push_back(class_of(useful));
    add_group(program, static_cast<std::uint16_t>(program.classes.size() - 1), {count, op.batch, 1, 1},
              {static_cast<std::int64_t>(first), 0, 0, 0});
    program.groups.back().loops = {LoopRange{0, static_cast<std::int64_t>(turns)},
                                   LoopRange{0, static_cast<std::int64_t>(turns - 1)}};
  };
  add(0, blocks, kChannels);
  add(blocks, rest > 0 ? 1 : 0, rest);
  return program;
}

}  // namespace lightcone::scenarios
