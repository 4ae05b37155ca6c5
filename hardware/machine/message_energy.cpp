// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_energy.h"

#include <algorithm>

namespace lightcone::hardware {
namespace {

double carried(const LiveLink& link) { return static_cast<double>(link.part.wire_bytes()) * link.stands_for; }

std::vector<bool> gpus_of(const MessageProgram& program, const MachineGraph& graph) {
  std::vector<bool> taken(graph.gpu_count(), false);
  for (const std::uint32_t gpu : program.gpus) taken[gpu] = true;
  return taken;
}

double share_of_machine(const MessageProgram& program, const MachineGraph& graph) {
  return static_cast<double>(program.gpus.size()) / graph.gpu_count();
}

}  // namespace

std::vector<LinkUse> link_uses(const MessageLayout& layout, const MessageProgram& program, const MachineGraph& graph,
                               Seconds time, Seconds busy_time) {
  const std::vector<LinkSpec>& kinds = graph.fabric().links;
  std::vector<double> wire(kinds.size(), 0), used(kinds.size(), 0), on(kinds.size(), 0), busiest(kinds.size(), 0);
  for (const LiveLink& link : layout.links) {
    if (link.part.messages() == 0) continue;
    wire[link.kind] += carried(link);
    used[link.kind] += link.stands_for;
    if (busy_time.count() > 0)
      busiest[link.kind] =
          std::max(busiest[link.kind], static_cast<double>(link.part.busy_ps()) * 1e-12 / busy_time.count());
  }
  const std::vector<bool> taken = gpus_of(program, graph);
  const double share = share_of_machine(program, graph);
  for (const DirectedLink& link : graph.links()) {
    if (link.gpu == kNoGpu) {
      on[link.kind] += link.count * share;
    } else if (taken[link.gpu]) {
      on[link.kind] += link.count;
    }
  }
  std::vector<LinkUse> out;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    if (used[k] == 0 && on[k] == 0) continue;
    LinkUse use;
    use.kind = kinds[k].name;
    use.links = static_cast<std::uint64_t>(used[k] + 0.5);
    use.wire = Bytes(static_cast<std::uint64_t>(wire[k] + 0.5));
    use.busiest = std::min(1.0, busiest[k]);
    use.energy =
        Joules(wire[k] * 8 * kinds[k].dynamic_pj_per_bit() * 1e-12) + energy(kinds[k].standing_power() * on[k], time);
    out.push_back(std::move(use));
  }
  return out;
}

Joules switch_energy(const MessageLayout& layout, const MessageProgram& program, const MachineGraph& graph,
                     Seconds time) {
  double joules = 0;
  for (const LiveLink& link : layout.links) joules += carried(link) * 8 * link.pass_pj_per_bit * 1e-12;
  double watts = 0;
  const FabricSpec& fabric = graph.fabric();
  for (VertexIndex v = 0; v < graph.vertex_count(); ++v) {
    const auto spec = graph.vertex_spec(v);
    if (!spec) continue;
    switch (graph.vertex_kind(v)) {
      case VertexKind::nic:
        watts += fabric.nics[*spec].idle.count();
        break;
      case VertexKind::circuit_switch:
        watts += fabric.circuit_switches[*spec].power.count();
        break;
      default:
        watts += fabric.switches[*spec].idle.count() * graph.vertex_copies(v);
    }
  }
  return Joules(joules + watts * share_of_machine(program, graph) * time.count());
}

}  // namespace lightcone::hardware
