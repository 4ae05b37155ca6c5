// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/nccl_choice.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

struct Line {
  CollectiveAlgorithm algorithm;
  CollectiveProtocol protocol;
  double latency;    // microseconds
  double bandwidth;  // of the buffer, GB/s
};

// What the tables know of a generation.
struct Tables {
  double most_ll;         // llMaxBws, one node, GB/s
  double ll128_channel;   // perChMaxRingLL128Bws
  double switch_share;    // nvlsEfficiency
  double switch_fastest;  // first of the search's bandwidths of a head: sm90SpeedArrayIntra, sm100SpeedArrayIntra
};

Tables tables_of(hardware::TensorCoreGeneration generation) {
  switch (generation) {
    case hardware::TensorCoreGeneration::mma_sync:
      return {87.7, 20, 0, 0};
    case hardware::TensorCoreGeneration::wgmma:
      return {141, 36.7, 0.85, 60};
    case hardware::TensorCoreGeneration::tcgen05:
      break;
  }
  return {282, 40, 0.74, 90};
}

// Each rank is a head that pulls from all: its port carries one more than there are ranks, in steps of the search.
double switch_bandwidth(const Tables& tables, double port, std::uint32_t ranks) {
  const double head = std::min(tables.switch_fastest, std::floor(port / (ranks + 1) / 10) * 10);
  return 2 * ranks * head * tables.switch_share * (ranks - 1) / ranks;
}

}  // namespace

NcclChoice nccl_choice(const CollectiveTask& task, bool in_switch) {
  const bool reduces_all = task.kind == models::CollectiveKind::all_reduce;
  const std::uint32_t ranks = task.ranks();
  LIGHTCONE_ASSERT(ranks >= 2 && task.kind != models::CollectiveKind::broadcast);
  const Tables tables = tables_of(task.constants.generation);
  const double steps = reduces_all ? 2.0 * (ranks - 1) : ranks - 1.0;
  const double ratio = ranks / steps, ring = ring_bandwidth(task).count() * 1e-9;
  std::vector<Line> lines{
      {CollectiveAlgorithm::ring, CollectiveProtocol::ll, 6.6 + 0.6 * steps, std::min(tables.most_ll, ring / 2)},
      {CollectiveAlgorithm::ring, CollectiveProtocol::ll128, 14 + 1.9 * steps,
       std::min(0.92 * ring, full_channels(task) * tables.ll128_channel)},
      {CollectiveAlgorithm::ring, CollectiveProtocol::simple, 8.4 + 3.4 * steps, ring}};
  if (in_switch && reduces_all && ranks > 2 && tables.switch_share > 0) {
    const double bandwidth = switch_bandwidth(tables, ring / 0.8 * 0.82, ranks);  // 20.6 of 25 GB/s of a link
    if (bandwidth > 0) lines.push_back({CollectiveAlgorithm::in_switch, CollectiveProtocol::simple, 25, bandwidth});
  }
  NcclChoice choice;
  choice.expected = Seconds(1e9);
  for (const Line& line : lines) {
    const Seconds time(line.latency * 1e-6 + task.bytes.real() / (line.bandwidth * ratio * 1e9));
    if (time < choice.expected) choice = {line.algorithm, line.protocol, time};
  }
  return choice;
}

}  // namespace lightcone::scenarios
