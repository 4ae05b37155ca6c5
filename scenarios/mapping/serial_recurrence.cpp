// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/serial_recurrence.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/recurrent_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;
using models::CellKind;
using models::SerialRecurrence;

namespace {

constexpr std::uint32_t kWarps = 8;
constexpr std::uint64_t kThreads = kWarps * 32;
enum Index : std::uint32_t { kInputs, kWeights, kOutput, kState };

// How the outputs of a head are dealt to CTAs.
struct Split {
  std::uint64_t head_width = 0;
  std::uint64_t outputs = 0;  // of a CTA
  std::uint64_t per_head = 0;
  bool resident = false;  // the weights stay in shared memory
};

std::uint64_t slice_bytes(const SerialRecurrence& op, std::uint64_t head_width, std::uint64_t outputs) {
  return storage(op.format, 4 * outputs * head_width).count();
}

Split split(const SerialRecurrence& op, const GpuSpec& gpu) {
  Split out;
  out.head_width = op.width / op.heads;
  // One CTA per SM, and no more than there are: they wait for one another.
  const std::uint64_t most = std::max<std::uint64_t>(1, gpu.sm_count / op.heads);
  const std::uint64_t staged = storage(op.format, op.batch * out.head_width).count();  // the output of all sequences
  const std::uint64_t room = gpu.sm.shared_memory_per_cta.count();
  if (staged > room / 2) {
    throw ConfigError(fmt::format(
        "serial_recurrence: the outputs of {} sequences, {} wide, take {} bytes of the {} of an SM's shared memory",
        op.batch, out.head_width, staged, room));
  }
  if (slice_bytes(op, out.head_width, out.head_width) + staged <= room) {
    out.outputs = out.head_width;
  } else {
    out.outputs = std::max<std::uint64_t>(std::min<std::uint64_t>(8, out.head_width), ceil_div(out.head_width, most));
  }
  out.per_head = ceil_div(out.head_width, out.outputs);
  out.resident = slice_bytes(op, out.head_width, out.outputs) + staged <= room;
  return out;
}

}  // namespace

// Coordinates: cta0 slice of a head, cta1 head.
TileProgram serial_recurrence_program(const SerialRecurrence& op, const GpuSpec& gpu) {
  (void)models::cost(models::Operator(op));  // sizes are sound
  const Split parts = split(op, gpu);
  const std::uint64_t head = parts.head_width, slice = parts.outputs;
  if (parts.per_head * op.heads > gpu.sm_count && parts.per_head > 1) {
    throw ConfigError(
        fmt::format("serial_recurrence: {} heads of {} need more CTAs than {} has SMs", op.heads, head, gpu.name));
  }
  const bool lstm = op.cell == CellKind::lstm, shared = parts.per_head > 1;
  const std::uint64_t width_row = storage(op.format, op.width).count();
  const auto values = [&](std::uint64_t count) { return storage(op.format, count).count(); };
  // Rows are sequences; columns the slice of a head, or the whole head.
  const auto token = [&](std::uint32_t tensor, std::uint64_t gates, std::uint64_t columns) {
    const std::uint64_t row = gates * width_row;
    MatrixView view{tensor, op.batch, values(gates * head), op.tokens * row, {}, 0};
    view.outer = {Term{Var::cta1, static_cast<std::int64_t>(values(gates * head))},
                  Term{Var::loop0, static_cast<std::int64_t>(row)}, Term{}};
    return tile_box(view, Var::none, op.batch, columns < head ? Var::cta0 : Var::none, values(gates * columns));
  };
  const std::uint64_t state_values = lstm ? 2 : 4, state_row = storage(op.state_format, state_values * head).count();
  MatrixView states{kState, op.batch, state_row, op.heads * state_row, {}, 0};
  states.outer[0] = {Var::cta1, static_cast<std::int64_t>(state_row)};
  const Box state = tile_box(states, Var::none, op.batch, shared ? Var::cta0 : Var::none,
                             storage(op.state_format, state_values * slice).count());
  const std::uint64_t weight_row = values(4 * head);
  MatrixView weights_view{kWeights, head, weight_row, weight_row, {}, 0};
  weights_view.outer[0] = {Var::cta1, static_cast<std::int64_t>(head * weight_row)};
  const Box weights = tile_box(weights_view, Var::cta0, slice);  // rows: outputs of all four gates
  const std::uint64_t rows = round_up(op.batch, 16), columns = round_up(4 * slice, 8);
  const auto body = [&](std::uint64_t useful) {
    const std::uint64_t elements = op.batch * slice;
    const std::uint64_t flops = (lstm ? 8 : 16) * op.batch * useful;
    std::vector<Op> ops, step;
    append(ops, lane_work(0, 20 * kThreads, 0, 60));
    if (parts.resident) append(ops, GlobalLoad{weights}, WaitLoads{}, SharedAccess{0, slice_bytes(op, head, slice)});
    if (op.reads_state) append(ops, GlobalLoad{state}, WaitLoads{});
    // The gates' inputs are on their way while the CTA waits for the others' outputs of the token before.
    append(step, GlobalLoad{token(kInputs, 4, slice)});
    if (!parts.resident) append(step, GlobalLoad{weights});
    append(step, WaitLoads{});
    if (!parts.resident) append(step, SharedAccess{0, slice_bytes(op, head, slice)});
    const Mma product = product_of(rows, columns, head, op.batch, 4 * useful, head, op.format, true);
    append(step, SharedAccess{0, values(op.batch * head)}, product, MmaWait{0},
           SharedAccess{4 * 4 * elements, 4 * 4 * elements},
           lane_work((lstm ? 30 : 60) * elements, 4 * elements, (lstm ? 10 : 16) * elements, lstm ? 150 : 250, flops),
           GlobalStore{token(kOutput, 1, slice), CopyPath::lsu});
    if (shared) {  // the output is there before the signal; then every CTA reads all of it
      append(step, WaitStores{}, Signal{0, Var::loop0, 1},
             AwaitSignal{0, Var::loop0, 1, static_cast<std::uint32_t>(parts.per_head * op.heads)},
             GlobalLoad{token(kOutput, 1, head)}, WaitLoads{});
    } else {
      append(step, CtaBarrier{0});
    }
    append(ops, LoopBegin{0}, step, LoopEnd{});
    if (op.writes_state) append(ops, GlobalStore{state, CopyPath::lsu});
    return ops;
  };
  TileProgram program;
  program.name =
      fmt::format("serial_{}_{}{}", lstm ? "lstm" : "slstm", name(op.format), parts.resident ? "" : "_streamed");
  program.tensors = {{"gate inputs", Bytes(op.batch * op.tokens * 4 * width_row), Residency::warm, false},
                     {"recurrent weights", Bytes(op.heads * head * weight_row), Residency::cold, false},
                     {"output", Bytes(op.batch * op.tokens * width_row), Residency::warm, true},
                     {"state", Bytes(op.batch * op.heads * state_row), Residency::cold, op.writes_state}};
  program.threads_per_cta = kThreads;
  program.registers_per_thread = 168;
  program.shared_memory_per_cta = Bytes(values(op.batch * head) + (parts.resident ? slice_bytes(op, head, slice) : 0));
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t useful) {
    if (count == 0) return;
    add_class(program, {"outputs", {Role{"threads", kWarps, body(useful)}}, {}}, {count, op.heads, 1, 1},
              {static_cast<std::int64_t>(first), 0, 0, 0});
    program.groups.back().loops[0] = {0, static_cast<std::int64_t>(op.tokens)};
  };
  add(0, head / slice, slice);
  add(head / slice, head % slice > 0 ? 1 : 0, head % slice);
  return program;
}

}  // namespace lightcone::scenarios
