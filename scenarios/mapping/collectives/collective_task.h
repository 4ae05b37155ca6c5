// SPDX-License-Identifier: Apache-2.0
// One collective on its way to messages: what the builders of all algorithms are given, and what they share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/machine_graph.h"
#include "models/graph/communication.h"
#include "scenarios/mapping/collectives/library_constants.h"
#include "sim/base/checked.h"
#include "sim/base/units.h"

namespace lightcone::scenarios {

struct CollectiveTask {
  models::CollectiveKind kind = models::CollectiveKind::all_reduce;
  Bytes bytes;                      // as Communication::elements counts them
  std::vector<std::uint32_t> gpus;  // by rank
  const hardware::MachineGraph* graph = nullptr;
  CollectiveConstants constants;

  [[nodiscard]] std::uint32_t ranks() const { return static_cast<std::uint32_t>(gpus.size()); }
};

constexpr Bytes part_of(Bytes whole, std::uint64_t parts) { return Bytes(ceil_div(whole.count(), parts)); }

// Wire bytes per second of one GPU towards the others in its innermost domain (or, alone there, outwards).
BytesPerSecond port_wire(const hardware::MachineGraph& graph, const std::vector<std::uint32_t>& gpus);
// What NCCL takes a ring to carry: 20 of 25 GB/s of an NVLink 3, 20.6 of an NVLink 4, 40.1 of 50 of an NVLink 5, in
// whole steps of its search (src/graph/topo.h, search.cc): 0.8 of the wire in all three.
BytesPerSecond ring_bandwidth(const CollectiveTask& task);
// Channels that NCCL's search makes on these GPUs.
std::uint32_t full_channels(const CollectiveTask& task);
// Domains of the innermost level that hold the ranks, and ranks in each when all hold as many (0: they do not).
std::uint32_t node_count(const CollectiveTask& task);
std::uint32_t ranks_per_node(const CollectiveTask& task);

// A program of the task's ranks without workers; its start is the library's.
hardware::MessageProgram empty_program(const CollectiveTask& task, std::string name);
// A class with the protocol's rates and slots.
hardware::WorkerClass worker_class(const ProtocolConstants& protocol, std::string name);

// Sizes of pieces that together are `whole`, each but the last `piece`.
std::vector<Bytes> pieces(Bytes whole, Bytes piece);

}  // namespace lightcone::scenarios
