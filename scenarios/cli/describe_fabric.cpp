// SPDX-License-Identifier: Apache-2.0
#include "scenarios/cli/describe_fabric.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "hardware/spec/machine_graph.h"

namespace lightcone::scenarios {
namespace {

using Json = nlohmann::ordered_json;
using hardware::FabricSpec;
using hardware::LevelSpec;
using hardware::LinkSpec;

constexpr std::array<std::string_view, 7> kTopologyNames{"switched",  "fat tree", "ring",  "torus",
                                                         "dragonfly", "circuit",  "direct"};
constexpr std::array<std::string_view, 4> kPlacementNames{"pluggable optics", "co-packaged optics",
                                                          "optical I/O chiplet", "photonic interposer"};

// From GPU 0 to the first one that only this level reaches.
void add_way(const hardware::MachineGraph& graph, std::uint32_t level, const AddFigure& add) {
  const std::uint32_t other = level == 0 ? 1 : graph.level_size(level - 1);
  if (other >= graph.gpu_count()) return;
  const double rate = graph.bandwidth(0, other).count(), latency = graph.latency(0, other).count();
  const std::uint32_t ways = graph.path_count(0, other);
  const LevelSpec& spec = graph.fabric().levels[level];
  add("bandwidth_" + spec.name, rate, "");
  add("latency_" + spec.name, latency,
      fmt::format("GPU to GPU\t{:.1f} GB/s of payload per direction in a {}, {:.2f} us, {}", rate * 1e-9, spec.name,
                  latency * 1e6, ways == 1 ? "one way" : fmt::format("{} ways", ways)));
}

void add_level(const FabricSpec& fabric, std::uint32_t level, const AddFigure& add) {
  const LevelSpec& spec = fabric.levels[level];
  const LinkSpec& link = fabric.links[spec.link];
  const double rate = link.wire().count() * spec.links_per_gpu;
  const std::string_view topology = kTopologyNames[static_cast<std::size_t>(spec.topology)];
  std::string shape;
  for (const std::uint32_t extent : spec.dimensions) shape += fmt::format("{}{}", shape.empty() ? " " : " x ", extent);
  add("level_" + spec.name,
      Json{{"topology", topology}, {"gpus", fabric.domain_size(level)}, {"bytes_per_second", rate}},
      fmt::format("{}\t{} GPUs, {}{}; {} x {} per GPU, {:.1f} GB/s per direction", spec.name, fabric.domain_size(level),
                  topology, shape, spec.links_per_gpu, link.name, rate * 1e-9));
}

// The most that circuit switches take from the light of a link.
double circuit_loss(const FabricSpec& fabric, std::size_t link) {
  double most = 0;
  for (const LevelSpec& level : fabric.levels) {
    const bool passes = level.topology == hardware::Topology::circuit ? level.link == link : level.block_link == link;
    if (level.circuit_switch && passes)
      most = std::max(most, fabric.circuit_switches[*level.circuit_switch].insertion_loss_db);
  }
  return most;
}

void add_link(const FabricSpec& fabric, std::size_t index, const AddFigure& add) {
  const LinkSpec& link = fabric.links[index];
  add("link_" + link.name,
      Json{{"bytes_per_second", link.wire().count()},
           {"latency_s", link.latency().count()},
           {"pj_per_bit", link.full_load_pj_per_bit()},
           {"standing_watts", link.standing_power().count()}},
      fmt::format("link {}\t{:.1f} GB/s, {:.0f} % of it payload, {:.0f} ns, {:.2f} pJ/bit at full load, {:.2f} W idle",
                  link.name, link.wire().count() * 1e-9, link.packet_efficiency() * 100, link.latency().count() * 1e9,
                  link.full_load_pj_per_bit(), link.standing_power().count()));
  if (!link.optics) return;
  const hardware::OpticalSpec& optics = *link.optics;
  const double switched = circuit_loss(fabric, index), loss = optics.loss_db() + switched;
  add("loss_budget_" + link.name,
      Json{{"laser_dbm", optics.laser_dbm},
           {"loss_db", loss},
           {"margin_db", optics.margin_db},
           {"receiver_sensitivity_dbm", optics.receiver_sensitivity_dbm},
           {"spare_db", optics.spare_db(switched)}},
      fmt::format("\t{}, {} x {:g} Gb/s; {:.1f} dBm - {:.2f} dB of losses - {:g} dB of margin, receiver at {:g} dBm: "
                  "{:.2f} dB to spare",
                  kPlacementNames[static_cast<std::size_t>(optics.placement)], optics.wavelengths * link.lanes,
                  optics.gigabaud * optics.bits_per_symbol, optics.laser_dbm, loss, optics.margin_db,
                  optics.receiver_sensitivity_dbm, optics.spare_db(switched)));
}

}  // namespace

void describe_fabric(const FabricSpec& fabric, const AddFigure& add) {
  const hardware::MachineGraph graph(fabric);
  add("gpus", graph.gpu_count(), fmt::format("GPUs\t{}", graph.gpu_count()));
  for (std::uint32_t level = 0; level < fabric.levels.size(); ++level) {
    add_level(fabric, level, add);
    add_way(graph, level, add);
  }
  for (std::size_t link = 0; link < fabric.links.size(); ++link) add_link(fabric, link, add);
  for (const hardware::SwitchSpec& kind : fabric.switches)
    add("switch_" + kind.name, Json{{"ports", kind.ports}, {"latency_s", kind.latency.count()}},
        fmt::format("switch {}\t{} ports, {:.0f} ns{}", kind.name, kind.ports, kind.latency.count() * 1e9,
                    kind.reduces ? ", adds and copies" : ""));
  for (const hardware::NicSpec& kind : fabric.nics)
    add("nic_" + kind.name, Json{{"latency_s", kind.latency.count()}},
        fmt::format("NIC {}\t{:.0f} ns", kind.name, kind.latency.count() * 1e9));
  for (const hardware::CircuitSwitchSpec& kind : fabric.circuit_switches)
    add("circuit_switch_" + kind.name,
        Json{{"radix", kind.radix},
             {"insertion_loss_db", kind.insertion_loss_db},
             {"reconfiguration_s", kind.reconfiguration.count()}},
        fmt::format("circuits {}\tradix {}, {:g} dB, {:g} us to reconfigure, {:g} W", kind.name, kind.radix,
                    kind.insertion_loss_db, kind.reconfiguration.count() * 1e6, kind.power.count()));
}

}  // namespace lightcone::scenarios
