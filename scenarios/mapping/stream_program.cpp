// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/stream_program.h"

#include <algorithm>
#include <utility>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

std::uint64_t bytes_of(const Stream& stream, std::uint64_t units) { return (units * stream.bits + 7) / 8; }

// The stream as one row per CTA of whole turns, or as one long row.
Box piece(const StreamShape& shape, const Stream& stream, std::uint32_t tensor, bool whole) {
  const std::uint64_t turn = bytes_of(stream, shape.units_per_turn);
  if (whole) {
    const StreamGrid grid = stream_grid(shape);
    const std::uint64_t row = bytes_of(stream, shape.units_per_turn * shape.turns);
    return tile_box({tensor, grid.whole, row, row, {}, 0}, Var::cta0, 1, Var::loop0, turn);
  }
  const std::uint64_t all = bytes_of(stream, shape.units);
  return tile_box({tensor, 1, all, all, {}, 0}, Var::none, 1, Var::cta0, turn);
}

std::vector<Op> one_turn(const StreamShape& shape, const std::vector<Stream>& streams, const std::vector<Op>& work,
                         bool whole) {
  std::vector<Op> ops;
  for (std::uint32_t i = 0; i < streams.size(); ++i) {
    if (streams[i].use != StreamUse::write) append(ops, GlobalLoad{piece(shape, streams[i], i, whole)});
  }
  append(ops, WaitLoads{}, work);
  for (std::uint32_t i = 0; i < streams.size(); ++i) {
    if (streams[i].use != StreamUse::read) append(ops, GlobalStore{piece(shape, streams[i], i, whole), CopyPath::lsu});
  }
  return ops;
}

}  // namespace

StreamGrid stream_grid(const StreamShape& shape) {
  const std::uint64_t chunk = shape.units_per_turn * shape.turns;
  const std::uint64_t whole = shape.units / chunk;
  const std::uint64_t numbers = ceil_div(shape.units, shape.units_per_turn);
  return {whole, ceil_div(shape.units - whole * chunk, shape.units_per_turn), std::max(numbers, whole)};
}

std::uint64_t turns_for(std::uint64_t units, std::uint64_t units_per_turn, std::uint64_t ctas) {
  return std::max<std::uint64_t>(1, ceil_div(ceil_div(units, units_per_turn), std::max<std::uint64_t>(1, ctas)));
}

TileProgram stream_program(std::string name, const StreamShape& shape, const std::vector<Stream>& streams,
                           const std::vector<Op>& work, const std::vector<Op>& at_end, const std::vector<Op>& before) {
  if (shape.units == 0) throw ConfigError(name + ": nothing to do");
  for (const Stream& stream : streams) checked_product(name, {shape.units, stream.bits, 8});
  const StreamGrid grid = stream_grid(shape);
  if (grid.numbers > UINT32_MAX) throw ConfigError(name + ": more than 2^32 CTAs");
  TileProgram program;
  program.name = std::move(name);
  program.threads_per_cta = shape.threads;
  program.registers_per_thread = shape.registers;
  for (const Stream& stream : streams) {
    program.tensors.push_back(
        {stream.name, Bytes(bytes_of(stream, shape.units)), stream.residency, stream.use != StreamUse::read});
  }
  const std::uint32_t warps = shape.threads / 32;
  const auto add = [&](const char* label, bool whole, std::uint64_t ctas, std::uint64_t first) {
    Role role{"threads", warps, before};
    if (whole) append(role.ops, LoopBegin{0});
    append(role.ops, one_turn(shape, streams, work, whole));
    if (whole) append(role.ops, LoopEnd{});
    append(role.ops, at_end);
    CtaGroup& group =
        add_class(program, {label, {std::move(role)}, {}}, {ctas, 1, 1, 1}, {static_cast<std::int64_t>(first)});
    if (whole) group.loops[0] = {0, static_cast<std::int64_t>(shape.turns)};
  };
  if (grid.whole > 0) add("chunk", true, grid.whole, 0);
  if (grid.rest > 0) add("rest", false, grid.rest, grid.whole * shape.turns);
  return program;
}

}  // namespace lightcone::scenarios
