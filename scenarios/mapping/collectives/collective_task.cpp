// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/collective_task.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace lightcone::scenarios {

using hardware::MachineGraph;

namespace {

// Ranks in each innermost domain, in order of first appearance.
std::vector<std::uint32_t> domain_ranks(const CollectiveTask& task) {
  std::vector<std::uint32_t> first, count;
  for (const std::uint32_t gpu : task.gpus) {
    std::size_t d = 0;
    while (d < first.size() && task.graph->level(first[d], gpu) > 0) ++d;
    if (d == first.size()) {
      first.push_back(gpu);
      count.push_back(0);
    }
    ++count[d];
  }
  return count;
}

}  // namespace

BytesPerSecond port_wire(const MachineGraph& graph, const std::vector<std::uint32_t>& gpus) {
  if (gpus.size() < 2) return BytesPerSecond(0);
  std::uint32_t other = gpus[1];
  for (const std::uint32_t gpu : gpus) {
    if (gpu != gpus[0] && graph.level(gpus[0], gpu) < graph.level(gpus[0], other)) other = gpu;
  }
  const hardware::LinkIndex link = graph.route(gpus[0], other, 0).front();
  const hardware::LinkSpec& kind = graph.fabric().links[graph.links()[link].kind];
  return BytesPerSecond(graph.bandwidth(gpus[0], other).count() / kind.packet_efficiency());
}

BytesPerSecond ring_bandwidth(const CollectiveTask& task) { return port_wire(*task.graph, task.gpus) * 0.8; }

std::uint32_t full_channels(const CollectiveTask& task) {
  const double wanted = ring_bandwidth(task) / task.constants.channel_search;
  return static_cast<std::uint32_t>(std::clamp(std::round(wanted), 2.0, double{kMostChannels}));
}

std::uint32_t node_count(const CollectiveTask& task) { return static_cast<std::uint32_t>(domain_ranks(task).size()); }

std::uint32_t ranks_per_node(const CollectiveTask& task) {
  const std::vector<std::uint32_t> count = domain_ranks(task);
  for (const std::uint32_t n : count) {
    if (n != count.front()) return 0;
  }
  return count.front();
}

hardware::MessageProgram empty_program(const CollectiveTask& task, std::string name) {
  hardware::MessageProgram program;
  program.name = std::move(name);
  program.gpus = task.gpus;
  program.start = to_picoseconds(task.constants.start);
  return program;
}

hardware::WorkerClass worker_class(const ProtocolConstants& protocol, std::string name) {
  hardware::WorkerClass result;
  result.name = std::move(name);
  result.rate = protocol.rate;
  result.local_rate = protocol.local_rate;
  result.step_overhead = to_picoseconds(protocol.step_overhead);
  result.slots = std::max(1u, 8 / protocol.slice_steps);
  result.wire_per_payload = protocol.wire_per_payload;
  result.sms = 1;
  return result;
}

std::vector<Bytes> pieces(Bytes whole, Bytes piece) {
  std::vector<Bytes> sizes;
  for (Bytes left = whole; left.count() > 0; left -= sizes.back()) sizes.push_back(std::min(left, piece));
  return sizes;
}

}  // namespace lightcone::scenarios
