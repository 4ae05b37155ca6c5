// SPDX-License-Identifier: Apache-2.0
// Machines of the catalog as graphs: routes that hang together, latency and bandwidth equal to their closed forms,
// degraded machines, and what is refused.
#include <algorithm>
#include <set>
#include <string>

#include "catch.h"
#include "hardware/spec/load.h"
#include "hardware/spec/machine_graph.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::hardware;

namespace {

FabricSpec fabric_of(const std::string& name) {
  const MachineSpec machine = load_machine(name);
  REQUIRE(machine.fabric.has_value());
  REQUIRE(machine.gpu_count == machine.fabric->gpu_count());
  return *machine.fabric;
}

void require_route(const MachineGraph& graph, std::uint32_t a, std::uint32_t b, std::uint32_t path) {
  const std::vector<LinkIndex> way = graph.route(a, b, path);
  REQUIRE_FALSE(way.empty());
  std::set<VertexIndex> seen{graph.links()[way.front()].from};
  for (std::size_t i = 0; i < way.size(); ++i) {
    const DirectedLink& link = graph.links()[way[i]];
    if (i > 0) REQUIRE(graph.links()[way[i - 1]].to == link.from);
    REQUIRE(seen.insert(link.to).second);  // no vertex twice
    REQUIRE(link.wire.count() > 0);
  }
  REQUIRE(graph.vertex_name(graph.links()[way.front()].from) == "gpu[" + std::to_string(a) + "]");
  REQUIRE(graph.vertex_name(graph.links()[way.back()].to) == "gpu[" + std::to_string(b) + "]");
}

}  // namespace

TEST_CASE("every machine with a fabric: routes from end to end, on every way") {
  for (const char* name : {"dgx_a100", "dgx_h100", "dgx_b200", "gb200_nvl72", "h100_cluster", "h100_ocs_torus",
                           "infiniband_64", "photonic_circuit_pod", "photonic_cpo_pod", "photonic_interposer_pod"}) {
    INFO(name);
    const MachineGraph graph(fabric_of(name));
    const std::uint32_t gpus = graph.gpu_count();
    for (std::uint32_t a = 0; a < gpus; a += std::max(1u, gpus / 7)) {
      for (std::uint32_t b = 0; b < gpus; b += std::max(1u, gpus / 11)) {
        if (a == b) continue;
        for (std::uint32_t path = 0; path < std::min(5u, graph.path_count(a, b)); ++path) {
          require_route(graph, a, b, path);
        }
        // Half way round an even ring, both directions are as short and may cross different blocks.
        if (std::string(name) != "h100_ocs_torus") REQUIRE(graph.latency(a, b) == graph.latency(b, a));
        REQUIRE(graph.level(a, b) == graph.level(b, a));
      }
    }
  }
}

TEST_CASE("NVLink through NVSwitch: latency and bandwidth as the parts add up") {
  const FabricSpec fabric = fabric_of("dgx_h100");
  const MachineGraph graph(fabric);
  const LinkSpec& link = fabric.links[0];
  // 18 links of 25 GB/s; 256 of 272 bytes are payload.
  REQUIRE(graph.bandwidth(0, 5).count() == Approx(450e9 * 256 / 272));
  const double latency =
      2 * fabric.port_latency.count() + 2 * link.latency().count() + fabric.switches[0].latency.count();
  REQUIRE(graph.latency(0, 5).count() == Approx(latency));
  REQUIRE(graph.latency(3, 3).count() == 0);
  REQUIRE(graph.reduces_in_switch({0, 1, 2, 3, 4, 5, 6, 7}));
  REQUIRE_FALSE(MachineGraph(fabric_of("dgx_a100")).reduces_in_switch({0, 1}));
  const auto& symmetry = graph.symmetry();
  REQUIRE(std::set<std::uint32_t>(symmetry.begin(), symmetry.end()).size() == 1);
  REQUIRE(MachineGraph(fabric_of("dgx_a100")).bandwidth(0, 1).count() == Approx(300e9 * 256 / 272));
  REQUIRE(MachineGraph(fabric_of("dgx_b200")).bandwidth(0, 1).count() == Approx(900e9 * 256 / 272));
}

TEST_CASE("a message on the wire: whole packets, their headers, the last one padded to flits") {
  const LinkSpec link = fabric_of("dgx_h100").links[0];
  REQUIRE(link.wire_bytes(Bytes(256)).count() == 272);
  REQUIRE(link.wire_bytes(Bytes(1)).count() == 32);
  REQUIRE(link.wire_bytes(Bytes(257)).count() == 272 + 32);
  REQUIRE(link.packet_efficiency() == Approx(256.0 / 272));
  LinkSpec starved = link;
  starved.receiver_buffer = Bytes(512);
  REQUIRE(starved.sustained() < link.sustained());
  REQUIRE(starved.sustained().count() == Approx(512 / starved.round_trip().count()));
}

TEST_CASE("a slow link and a missing GPU") {
  FabricSpec fabric = fabric_of("dgx_h100");
  const MachineGraph whole(fabric);
  const DirectedLink& up = whole.links()[whole.route(3, 4, 0).front()];
  fabric.slow_links = {{whole.vertex_name(up.from), whole.vertex_name(up.to), 0.5}};
  const MachineGraph slowed(fabric);
  REQUIRE(slowed.bandwidth(3, 4).count() == Approx(0.5 * whole.bandwidth(3, 4).count()));
  REQUIRE(slowed.bandwidth(0, 4).count() == Approx(whole.bandwidth(0, 4).count()));
  const auto& symmetry = slowed.symmetry();
  REQUIRE(std::set<std::uint32_t>(symmetry.begin(), symmetry.end()).size() == 8);  // no two are taken to be alike
  fabric.slow_links[0].to = "gpu[4]";
  REQUIRE_THROWS_AS(MachineGraph(fabric), ConfigError);
  fabric.slow_links.clear();
  fabric.missing_gpus = {2};
  const MachineGraph seven(fabric);
  REQUIRE(seven.gpu_count() == 7);
  REQUIRE_FALSE(seven.route(1, 2, 0).empty());
}

TEST_CASE("a GPU cut off makes a machine that does not hang together") {
  FabricSpec fabric = fabric_of("dgx_h100");
  const MachineGraph whole(fabric);
  const DirectedLink& up = whole.links()[whole.route(3, 4, 0).front()];
  fabric.slow_links = {{whole.vertex_name(up.from), whole.vertex_name(up.to), 0}};
  REQUIRE_THROWS_WITH(MachineGraph(fabric), Catch::Contains("does not hang together"));
}

TEST_CASE("a cluster: inside a node by NVLink, between nodes by the network") {
  const MachineGraph graph(fabric_of("h100_cluster"));
  REQUIRE(graph.level_count() == 2);
  REQUIRE(graph.level(0, 7) == 0);
  REQUIRE(graph.level(0, 8) == 1);
  REQUIRE(graph.level_size(0) == 8);
  REQUIRE(graph.latency(0, 8).count() > graph.latency(0, 7).count());
  REQUIRE(graph.bandwidth(0, 8).count() < 51e9);  // one 400 Gb/s NIC per GPU
  REQUIRE(graph.bandwidth(0, 8).count() > 40e9);
}

TEST_CASE("optical links: the budget closes, lasers take power whether or not bits pass") {
  for (const char* name : {"photonic_cpo_pod", "photonic_interposer_pod", "photonic_circuit_pod"}) {
    INFO(name);
    const FabricSpec fabric = fabric_of(name);
    const auto optical = std::find_if(fabric.links.begin(), fabric.links.end(),
                                      [](const LinkSpec& link) { return link.optics.has_value(); });
    REQUIRE(optical != fabric.links.end());
    const OpticalSpec& optics = *optical->optics;
    REQUIRE(optics.loss_db() > 0);
    REQUIRE(optics.spare_db(0) >= 0);
    REQUIRE(optics.spare_db(100) < 0);
    REQUIRE(optics.laser_power().count() > 0);
    REQUIRE(optical->standing_power().count() >= optics.laser_power().count() * optical->lanes);
    REQUIRE(optical->full_load_pj_per_bit() > optical->dynamic_pj_per_bit());
  }
}
