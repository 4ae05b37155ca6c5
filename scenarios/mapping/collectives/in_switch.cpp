// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/in_switch.h"

#include <fmt/core.h>

#include <numeric>

#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

constexpr Bytes kChunk{256 * 1024};

// A chunk of the rank's own part: the sum of all copies comes, and goes back to all. Every rank does so with its part,
// so that each memory is read and written once for every rank's chunk.
hardware::MessageSegment sum_and_copy(Bytes chunk, std::uint64_t ranks) {
  hardware::MessageStep load, store;
  load.delivery = hardware::Delivery::reduced_load;
  store.delivery = hardware::Delivery::multicast;
  load.bytes = store.bytes = chunk;
  load.local_read = chunk * ranks;
  store.local_written = chunk * ranks;
  return {1, {load, store}};
}

}  // namespace

hardware::MessageProgram in_switch_program(const CollectiveTask& task) {
  LIGHTCONE_ASSERT(task.kind == models::CollectiveKind::all_reduce && task.ranks() >= 2);
  const std::uint32_t channels = task.constants.in_switch_channels, ranks = task.ranks();
  hardware::MessageProgram program = empty_program(task, fmt::format("all_reduce_in_switch_{}ch", channels));
  program.start += to_picoseconds(task.constants.in_switch_first_use);
  hardware::WorkerClass own;
  own.name = "in switch";
  own.rate = task.constants.in_switch_rate;
  own.sms = 1;
  const Bytes part = part_of(part_of(task.bytes, ranks), channels);
  const std::uint64_t whole = part.count() / kChunk.count();
  if (whole > 0) own.blocks.push_back({whole, {sum_and_copy(kChunk, ranks)}});
  const Bytes rest(part.count() % kChunk.count());
  if (rest.count() > 0) own.blocks.push_back({1, {sum_and_copy(rest, ranks)}});
  program.classes = {own};
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    for (std::uint32_t channel = 0; channel < channels; ++channel) {
      hardware::MessageWorker worker;
      worker.rank = rank;
      worker.path = static_cast<std::uint16_t>(channel);
      program.workers.push_back(worker);
    }
  }
  program.groups.emplace_back(ranks);
  std::iota(program.groups[0].begin(), program.groups[0].end(), 0u);
  program.symmetry.assign(ranks, 0);
  return program;
}

}  // namespace lightcone::scenarios
