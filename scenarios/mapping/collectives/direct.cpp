// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/direct.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using hardware::MessageBlock;
using hardware::MessageSegment;
using hardware::MessageStep;

constexpr Bytes kSlice{512 * 1024};  // a slot of NCCL's FIFO

MessageStep one(bool sends, std::uint16_t peer, Bytes bytes) {
  MessageStep step;
  (sends ? step.send : step.receive) = peer;
  step.bytes = bytes;
  (sends ? step.local_read : step.local_written) = bytes;
  return step;
}

// `bytes` to or from each of `peers`, slice by slice, peer after peer.
std::vector<MessageBlock> to_each(bool sends, std::uint32_t peers, Bytes bytes) {
  const std::uint64_t whole = bytes.count() / kSlice.count();
  const Bytes rest(bytes.count() % kSlice.count());
  MessageBlock block;
  for (std::uint16_t peer = 0; peer < peers; ++peer) {
    if (whole > 0) block.segments.push_back({whole, {one(sends, peer, kSlice)}});
    if (rest.count() > 0 || whole == 0) block.segments.push_back({1, {one(sends, peer, rest)}});
  }
  return {block};
}

// A sending and a receiving worker per channel on every rank. Peers in the order in which a rank serves them: the next
// rank first; whom it hears in the order in which they serve it.
void add_pairs(hardware::MessageProgram& program, std::uint32_t ranks, std::uint32_t channels, std::uint32_t peers) {
  const auto sender = [&](std::uint32_t rank, std::uint32_t channel) { return 2 * (rank * channels + channel); };
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    for (std::uint32_t channel = 0; channel < channels; ++channel) {
      hardware::MessageWorker out, in;
      out.rank = in.rank = rank;
      out.path = in.path = static_cast<std::uint16_t>(channel);
      in.worker_class = 1;
      for (std::uint32_t i = 1; i <= peers; ++i) {
        out.peers.push_back(sender((rank + i) % ranks, channel) + 1);
        in.peers.push_back(sender((rank + ranks - i) % ranks, channel));
      }
      program.workers.push_back(std::move(out));
      program.workers.push_back(std::move(in));
    }
  }
  program.symmetry.assign(ranks, 0);
}

}  // namespace

hardware::MessageProgram direct_program(const CollectiveTask& task) {
  const bool all = task.kind == models::CollectiveKind::all_to_all;
  LIGHTCONE_ASSERT((all || task.kind == models::CollectiveKind::send_receive) && task.ranks() >= 2);
  const std::uint32_t ranks = task.ranks(), peers = all ? ranks - 1 : 1;
  const Bytes each = all ? part_of(task.bytes, ranks) : task.bytes;
  // A peer's data are spread over as many CTAs as leave each an eighth of a slot; at 16 KiB of each CTA flags in the
  // lines give way to fences (src/enqueue.cc: minPartSize, NCCL_P2P_LL_THRESHOLD).
  const std::uint64_t each_peer =
      std::clamp<std::uint64_t>(ceil_div(each.count(), kSlice.count() / 8), 1, task.constants.point_to_point_channels);
  const auto channels =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(each_peer * peers, task.constants.point_to_point_channels));
  const bool flags = each.count() <= each_peer * 16384;
  hardware::MessageProgram program =
      empty_program(task, fmt::format("{}_direct_{}ch", models::name(task.kind), channels));
  if (!flags) program.start += to_picoseconds(task.constants.point_to_point_first_use);
  const Bytes piece = part_of(each, channels);
  hardware::WorkerClass out;
  out.name = "send";
  // A single peer has all the CTAs to itself, which reach what a ring does.
  out.rate = task.constants.point_to_point_rate;
  if (!all) out.rate = std::max(out.rate, ring_bandwidth(task) * (1.0 / task.constants.point_to_point_channels));
  out.step_overhead = to_picoseconds(flags ? task.constants.ll.step_overhead : task.constants.point_to_point_overhead);
  if (flags) out.wire_per_payload = task.constants.ll.wire_per_payload;
  out.sms = 1;
  hardware::WorkerClass in = out;
  in.name = "receive";
  in.sms = 0;  // warps of the CTA that sends
  out.blocks = to_each(true, peers, piece);
  in.blocks = to_each(false, peers, piece);
  program.classes = {out, in};
  add_pairs(program, ranks, channels, peers);
  return program;
}

hardware::MessageProgram shots_program(const CollectiveTask& task, bool two_shots) {
  LIGHTCONE_ASSERT(task.kind == models::CollectiveKind::all_reduce && task.ranks() >= 2);
  const std::uint32_t ranks = task.ranks(), peers = ranks - 1, channels = task.constants.shot_channels;
  hardware::MessageProgram program = empty_program(task, fmt::format("all_reduce_{}_shot", two_shots ? "two" : "one"));
  program.start = to_picoseconds(task.constants.shot_start);
  const Bytes each = part_of(two_shots ? part_of(task.bytes, ranks) : task.bytes, channels);
  hardware::WorkerClass out;
  out.name = "shots send";
  out.rate = task.constants.shot_rate;
  out.slots = 1u << 16;  // the buffers are there as a whole
  out.sms = 1;
  hardware::WorkerClass in = out;
  in.name = "shots receive";
  in.rate = BytesPerSecond(0);  // who reads a remote buffer goes through the bytes once
  in.sms = 0;
  // A barrier: a flag to every rank, and one from every rank.
  const std::vector<MessageBlock> flags_out = to_each(true, peers, Bytes(0)),
                                  flags_in = to_each(false, peers, Bytes(0));
  const std::vector<MessageBlock> data_out = to_each(true, peers, each), data_in = to_each(false, peers, each);
  const auto add = [](std::vector<MessageBlock>& to, const std::vector<MessageBlock>& blocks) {
    to.insert(to.end(), blocks.begin(), blocks.end());
  };
  for (int shot = 0; shot < (two_shots ? 2 : 1); ++shot) {
    add(out.blocks, flags_out);
    add(in.blocks, flags_in);
    add(out.blocks, data_out);
    add(in.blocks, data_in);
  }
  // The sending half goes on when the receiving half has heard all: a hand-over inside the rank, as its last peer.
  const auto inner = static_cast<std::uint16_t>(peers);
  const auto hand_over = [&](std::vector<MessageBlock>& blocks, bool sends, std::size_t after) {
    MessageBlock block;
    MessageStep step;
    (sends ? step.send : step.receive) = inner;
    block.segments.push_back({1, {step}});
    blocks.insert(blocks.begin() + static_cast<std::ptrdiff_t>(after), block);
  };
  // After each barrier, and before the second shot: its data are the sums of the first.
  for (std::size_t phase = two_shots ? 4 : 2; phase-- > 1;) {
    hand_over(in.blocks, true, phase);
    hand_over(out.blocks, false, phase);
  }
  program.classes = {out, in};
  add_pairs(program, ranks, channels, peers);
  for (std::uint32_t pair = 0; pair < program.workers.size(); pair += 2) {
    program.workers[pair].peers.push_back(pair + 1);
    program.workers[pair + 1].peers.push_back(pair);
  }
  return program;
}

}  // namespace lightcone::scenarios
