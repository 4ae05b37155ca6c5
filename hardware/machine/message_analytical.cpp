// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <vector>

#include "hardware/machine/evaluate_messages.h"
#include "hardware/machine/message_flow.h"
#include "hardware/machine/message_ranks.h"
#include "hardware/machine/message_traffic.h"

namespace lightcone::hardware {

namespace {

// Of ranks with the same number in program and graph, the first stands for all.
std::vector<std::uint32_t> representatives(const MessageProgram& program, const MachineGraph& graph, bool fold) {
  std::vector<std::uint32_t> first_of(program.gpus.size());
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> first;
  for (std::uint32_t rank = 0; rank < program.gpus.size(); ++rank) {
    first_of[rank] = rank;
    if (!fold || program.symmetry.empty()) continue;
    first_of[rank] =
        first.try_emplace({program.symmetry[rank], graph.symmetry()[program.gpus[rank]]}, rank).first->second;
  }
  return first_of;
}

std::vector<LinkUse> link_uses(const MessageTraffic& traffic, const MachineGraph& graph, Seconds time) {
  std::vector<LinkUse> uses;
  const std::vector<LinkSpec>& kinds = graph.fabric().links;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    LinkUse use;
    use.kind = kinds[k].name;
    for (std::size_t l = 0; l < traffic.wire().size(); ++l) {
      const DirectedLink& link = graph.links()[l];
      const Bytes wire = traffic.wire()[l];
      if (link.kind != k || wire.count() == 0) continue;
      ++use.links;
      use.wire += wire;
      use.busiest = std::max(use.busiest, wire.real() / link.wire.count() / time.count());
      use.energy += Joules(wire.real() * 8 * kinds[k].dynamic_pj_per_bit() * 1e-12) +
                    energy(kinds[k].standing_power() * link.count, time);
    }
    if (use.links > 0) uses.push_back(use);
  }
  return uses;
}

}  // namespace

MessageResult evaluate_messages_analytical(const MessageProgram& program, const MachineGraph& graph,
                                           const MessageOptions& options) {
  const MessageTraffic traffic(program, graph);
  const std::vector<std::uint32_t> representative = representatives(program, graph, options.fold);
  const FlowResult flow = follow_messages(program, traffic, representative);

  MessageResult result;
  result.program = program.name;
  result.evaluator = Evaluator::analytical;
  result.start = to_seconds(program.start);
  const Seconds carried = traffic.busiest();
  const Seconds body = std::max(flow.end, carried);
  result.time = result.start + body;
  count_ranks(program, result);
  result.links = link_uses(traffic, graph, result.time);
  for (const LinkUse& use : result.links) result.energy += use.energy;
  const MessageTotals sums = totals(program);
  result.messages = sums.messages;
  result.payload = sums.payload;
  result.simulated_fraction = static_cast<double>(flow.followed) / static_cast<double>(program.gpus.size());

  // What fills more than half of the time limits it; otherwise it is waiting.
  const double half = result.time.count() / 2;
  if (result.longest_compute.count() > half) {
    result.bound_by = "compute";
  } else if (carried.count() > half && carried.count() >= 0.9 * flow.longest_work.count()) {
    result.bound_by = "link " + graph.fabric().links[graph.links()[traffic.busiest_link()].kind].name;
  } else {
    result.bound_by = flow.longest_work.count() > half ? "worker" : "latency";
  }
  return result;
}

}  // namespace lightcone::hardware
