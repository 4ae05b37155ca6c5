// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/ring.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using hardware::MessageBlock;
using hardware::MessageProgram;
using hardware::MessageSegment;
using hardware::MessageStep;
using hardware::MessageWorker;
using hardware::WorkerClass;
using models::CollectiveKind;

constexpr std::uint16_t kPrevious = 0, kNext = 1;  // slots of a worker's peers

// What happens to each byte of a slice, in times its size: reads of input, output or FIFO, writes of output.
struct Move {
  bool receives = false, sends = false;
  std::uint64_t reads = 0, writes = 0;
  std::uint64_t repeat = 1;
};

// A received slice has been written into the FIFO by the peer, and counts as written here.
MessageStep step_of(const Move& move, Bytes slice) {
  MessageStep step;
  if (move.receives) step.receive = kPrevious;
  if (move.sends) step.send = kNext;
  step.bytes = slice;
  step.local_read = slice * move.reads;
  step.local_written = slice * (move.writes + (move.receives ? 1 : 0));
  return step;
}

// The moves of one chunk of each rank, once round the ring (all-reduce: twice).
std::vector<Move> moves_of(CollectiveKind kind, std::uint64_t ranks) {
  const Move send{false, true, 1, 0}, reduce_send{true, true, 2, 0, ranks - 2}, reduce_copy_send{true, true, 2, 1};
  const Move copy_send{false, true, 1, 1}, forward{true, true, 1, 1, ranks - 2}, take{true, false, 1, 1};
  const Move reduce_take{true, false, 2, 1};
  switch (kind) {
    case CollectiveKind::all_reduce:
      return {send, reduce_send, reduce_copy_send, forward, take};
    case CollectiveKind::reduce_scatter:
      return {send, reduce_send, reduce_take};
    case CollectiveKind::all_gather:
      return {copy_send, forward, take};
    default:
      break;
  }
  LIGHTCONE_ASSERT(!"a ring carries all_reduce, reduce_scatter, all_gather and broadcast");
  return {};
}

// Slices of a chunk: as many as its slots allow, none below a 32nd of a full one (src/device/prims_simple.h).
std::vector<Bytes> slices_of(Bytes chunk, const ProtocolConstants& protocol) {
  const std::uint64_t count = protocol.chunk_steps / protocol.slice_steps;
  if (count <= 1) return {chunk};
  const std::uint64_t least = protocol.step.count() * protocol.slice_steps / 32;
  return pieces(chunk, Bytes(std::max(ceil_div(chunk.count(), count), least)));
}

MessageBlock block_of(const std::vector<Move>& moves, Bytes chunk, const ProtocolConstants& protocol,
                      std::uint64_t repeat) {
  MessageBlock block;
  block.repeat = repeat;
  const std::vector<Bytes> slices = slices_of(chunk, protocol);
  for (const Move& move : moves) {
    if (move.repeat == 0) continue;
    MessageSegment& segment = block.segments.emplace_back();
    segment.repeat = move.repeat;
    for (const Bytes slice : slices) segment.steps.push_back(step_of(move, slice));
  }
  return block;
}

// Whole chunks in rounds, then what is left.
std::vector<MessageBlock> blocks_of(const std::vector<Move>& moves, Bytes part, const ProtocolConstants& protocol) {
  const Bytes chunk = protocol.step * protocol.chunk_steps;
  std::vector<MessageBlock> blocks;
  const std::uint64_t whole = part.count() / chunk.count();
  if (whole > 0) blocks.push_back(block_of(moves, chunk, protocol, whole));
  const Bytes rest(part.count() % chunk.count());
  if (rest.count() > 0) blocks.push_back(block_of(moves, rest, protocol, 1));
  return blocks;
}

// Order of the ranks in one ring: node after node, each entered at the GPU on whose rail the ring comes in. The first
// GPU moves on by one from channel to channel, so that all NICs of a node are used, and back by one from node to node,
// so that a ring stays on the rail on which it left.
std::vector<std::uint32_t> ring_order(const CollectiveTask& task, std::uint32_t channel) {
  const std::uint32_t ranks = task.ranks(), per_node = ranks_per_node(task);
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < ranks; ++i) {
    if (per_node == 0 || per_node == ranks) {
      order.push_back(i);
      continue;
    }
    const std::uint32_t node = i / per_node, place = i % per_node;
    order.push_back(node * per_node + (place + channel + per_node * ranks - node) % per_node);
  }
  return order;
}

std::vector<std::uint32_t> symmetry_of(const CollectiveTask& task) {
  const std::uint32_t ranks = task.ranks(), per_node = ranks_per_node(task);
  std::vector<std::uint32_t> symmetry(ranks, 0);
  if (per_node == 0) return {};
  if (per_node == ranks) return symmetry;
  if ((ranks / per_node) % per_node != 0) return {};  // the ring closes on another rail
  for (std::uint32_t i = 0; i < ranks; ++i) symmetry[i] = (i % per_node + i / per_node) % per_node;
  return symmetry;
}

void add_workers(const CollectiveTask& task, std::uint32_t channels, MessageProgram& program,
                 std::uint16_t (*class_at)(std::uint32_t place, std::uint32_t ranks)) {
  const std::uint32_t ranks = task.ranks();
  program.workers.resize(std::size_t{ranks} * channels);
  const auto index = [&](std::uint32_t rank, std::uint32_t channel) { return rank * channels + channel; };
  for (std::uint32_t channel = 0; channel < channels; ++channel) {
    const std::vector<std::uint32_t> order = ring_order(task, channel);
    for (std::uint32_t place = 0; place < ranks; ++place) {
      MessageWorker& worker = program.workers[index(order[place], channel)];
      worker.rank = order[place];
      worker.path = static_cast<std::uint16_t>(channel);
      worker.worker_class = class_at(place, ranks);
      worker.peers = {index(order[(place + ranks - 1) % ranks], channel), index(order[(place + 1) % ranks], channel)};
    }
  }
}

// A chain from rank 0: chunks of one slot, one after the other.
MessageProgram broadcast_chain(const CollectiveTask& task, const ProtocolConstants& protocol, std::uint32_t channels,
                               MessageProgram program) {
  ProtocolConstants chained = protocol;
  chained.chunk_steps = chained.slice_steps = 1;
  const Bytes part = part_of(task.bytes, channels);
  const std::array<std::pair<const char*, Move>, 3> places{
      {{"root", {false, true, 1, 0}}, {"between", {true, true, 1, 1}}, {"end", {true, false, 1, 1}}}};
  for (const auto& [place, move] : places) {
    WorkerClass own = worker_class(chained, fmt::format("broadcast {}", place));
    own.blocks = blocks_of({move}, part, chained);
    program.classes.push_back(std::move(own));
  }
  add_workers(task, channels, program, [](std::uint32_t place, std::uint32_t ranks) -> std::uint16_t {
    if (place == 0) return 0;
    return place + 1 == ranks ? 2 : 1;
  });
  return program;
}

}  // namespace

MessageProgram ring_program(const CollectiveTask& task, CollectiveProtocol protocol, std::uint32_t channels) {
  LIGHTCONE_ASSERT(task.ranks() >= 2 && channels >= 1);
  const ProtocolConstants& constants = protocol_constants(task.constants, protocol);
  MessageProgram program =
      empty_program(task, fmt::format("{}_ring_{}_{}ch", models::name(task.kind), name(protocol), channels));
  program.start += to_picoseconds(constants.first_use);
  if (task.kind == CollectiveKind::broadcast) return broadcast_chain(task, constants, channels, std::move(program));
  WorkerClass own = worker_class(constants, fmt::format("ring {}", name(protocol)));
  own.blocks =
      blocks_of(moves_of(task.kind, task.ranks()), part_of(part_of(task.bytes, task.ranks()), channels), constants);
  program.classes.push_back(std::move(own));
  add_workers(task, channels, program, [](std::uint32_t, std::uint32_t) -> std::uint16_t { return 0; });
  program.symmetry = symmetry_of(task);
  return program;
}

}  // namespace lightcone::scenarios
