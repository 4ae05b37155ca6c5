// SPDX-License-Identifier: Apache-2.0
// Machines of several GPUs: their files, the graph and its routes, degraded ones, and link budgets.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "catch.h"
#include "hardware/spec/load.h"
#include "hardware/spec/machine_graph.h"
#include "hardware/spec/sources.h"
#include "sim/base/error.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::hardware;
using lightcone::test::TemporaryFolder;

namespace {

MachineSpec derived(const std::string& text) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "machine.textproto").string();
  std::ofstream(path) << text;
  return load_machine(path);
}

std::string fault_of(const std::string& text) {
  try {
    derived(text);
  } catch (const ConfigError& error) {
    std::string all;
    for (const Diagnostic& d : error.diagnostics()) all += d.text() + "\n";
    return all;
  }
  return {};
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

MachineGraph graph_of(const std::string& name) { return MachineGraph(*load_machine(name).fabric); }

// A level of `size` over the DGX H100's kinds.
MachineSpec torus(const std::string& dimensions, std::uint32_t size, const std::string& more = "") {
  return derived(
      "base: \"dgx_h100\"\ngpu_count: " + std::to_string(size) +
      "\nfabric {\n level { name: \"node\" topology: TORUS interleaved: false size: " + std::to_string(size) +
      " planes: 1 links_per_gpu: 12 dimensions: [" + dimensions + "] }\n" + more + "}\n");
}

// Hops of a shortest way by breadth-first search over the links, GPUs forwarding or not.
std::uint32_t hops(const MachineGraph& graph, VertexIndex from, VertexIndex to, bool gpus_forward) {
  std::multimap<VertexIndex, VertexIndex> out;
  for (const DirectedLink& link : graph.links()) out.emplace(link.from, link.to);
  std::map<VertexIndex, std::uint32_t> seen{{from, 0}};
  std::queue<VertexIndex> next({from});
  while (!next.empty()) {
    const VertexIndex v = next.front();
    next.pop();
    if (v == to) return seen[v];
    if (v != from && !gpus_forward && graph.vertex_kind(v) == VertexKind::gpu) continue;
    for (auto [at, end] = out.equal_range(v); at != end; ++at) {
      if (seen.emplace(at->second, seen[v] + 1).second) next.push(at->second);
    }
  }
  return 0;
}

// Every route joins its ends link by link, and is as short as the search finds, or `longer` links longer.
void check_routes(const MachineGraph& graph, bool gpus_forward, std::uint32_t step, std::uint32_t longer = 0) {
  const auto& links = graph.links();
  for (std::uint32_t a = 0; a < graph.gpu_count(); a += step) {
    for (std::uint32_t b = 0; b < graph.gpu_count(); b += step + 1) {
      if (a == b) continue;
      const std::uint32_t shortest = hops(graph, a, b, gpus_forward);
      for (std::uint32_t path = 0; path < std::min(graph.path_count(a, b), 8u); ++path) {
        const std::vector<LinkIndex> way = graph.route(a, b, path);
        REQUIRE(way.size() >= shortest);
        REQUIRE(way.size() <= shortest + longer);
        REQUIRE(links[way.front()].from == a);
        REQUIRE(links[way.back()].to == b);
        for (std::size_t i = 1; i < way.size(); ++i) REQUIRE(links[way[i - 1]].to == links[way[i]].from);
      }
    }
  }
}

}  // namespace

TEST_CASE("every fabric of the catalog loads with a source for every value, and hangs together") {
  std::size_t fabrics = 0;
  for (const std::string& name : list_machines()) {
    CAPTURE(name);
    const MachineSpec machine = load_machine(name);
    if (!machine.fabric) continue;
    ++fabrics;
    CHECK(machine.gpu_count == machine.fabric->gpu_count());
    for (const ParameterSource& source : machine.fabric_sources) {
      CAPTURE(source.path);
      CHECK(source.source != kNoSource);
    }
    const MachineGraph graph(*machine.fabric);
    CHECK(graph.gpu_count() == machine.gpu_count);
    CHECK(graph.latency(0, 1).count() > 1e-8);
    CHECK_FALSE(graph.route(0, graph.gpu_count() - 1, 3).empty());
  }
  CHECK(fabrics >= 10);
}

TEST_CASE("bandwidth between two GPUs is the published one less packet headers") {
  const auto bandwidth = [](const char* name) { return graph_of(name).bandwidth(0, 1).count(); };
  CHECK(bandwidth("dgx_a100") == Approx(300e9 * 256 / 272));
  CHECK(bandwidth("dgx_h100") == Approx(450e9 * 256 / 272));
  CHECK(bandwidth("dgx_b200") == Approx(900e9 * 256 / 272));
  CHECK(bandwidth("gb200_nvl72") == Approx(900e9 * 256 / 272));
  CHECK(bandwidth("infiniband_64") == Approx(50e9 * 4096 / 4164).epsilon(1e-5));
}

TEST_CASE("latency is the sum over ports, links and switches") {
  const MachineGraph graph = graph_of("dgx_h100");
  const FabricSpec& fabric = graph.fabric();
  const double link = fabric.links[0].latency().count();
  CHECK(graph.latency(0, 5).count() ==
        Approx(2 * fabric.port_latency.count() + 2 * link + fabric.switches[0].latency.count()));
  CHECK(graph.latency(0, 5).count() < 0.55e-6);  // a step of a small NCCL LL collective on A100
  CHECK(graph.latency(3, 3).count() == 0);
}

TEST_CASE("routes are shortest and whole in every topology") {
  check_routes(graph_of("dgx_h100"), false, 1);
  check_routes(graph_of("h100_cluster"), false, 9);
  check_routes(graph_of("infiniband_64"), false, 7);
  check_routes(graph_of("photonic_circuit_pod"), false, 3);
  check_routes(graph_of("photonic_interposer_pod"), true, 3);
  check_routes(MachineGraph(*torus("4, 3, 2", 24).fabric), true, 1);
  check_routes(MachineGraph(*torus("5, 4", 20).fabric), true, 1);
  const MachineSpec dragonfly = derived(R"(base: "infiniband_64" gpu_count: 72
      fabric { level { name: "cluster" topology: DRAGONFLY size: 72
        dragonfly { router_gpus: 2 group_routers: 4 router_global_links: 2 } } })");
  check_routes(MachineGraph(*dragonfly.fabric), false, 1, 1);  // one long link rather than two in a row
}

TEST_CASE("a cluster of 16,384 GPUs routes inside pods and across them") {
  const MachineGraph graph = graph_of("h100_cluster_16384");
  CHECK(graph.level(0, 7) == 0);
  CHECK(graph.level(0, 8) == 1);
  CHECK(graph.route(0, 7, 0).size() == 2);      // NVSwitch
  CHECK(graph.route(0, 8, 0).size() == 4);      // NIC, leaf of rail 0, NIC
  CHECK(graph.route(0, 9, 0).size() == 6);      // another rail: over a spine
  CHECK(graph.route(0, 16376, 0).size() == 8);  // another pod: over a core
  CHECK(graph.path_count(0, 9) == 32);
  CHECK(graph.path_count(0, 16376) == 256);
  std::set<LinkIndex> uplinks;  // GPUs of a leaf use different spines on the same path
  for (std::uint32_t node = 0; node < 32; ++node) uplinks.insert(graph.route(node * 8, (node + 64) * 8 + 1, 0)[2]);
  CHECK(uplinks.size() == 32);
  CHECK(graph.symmetry().front() == graph.symmetry().back());
}

TEST_CASE("links that leave a block of an OCS torus are optical") {
  const MachineGraph graph = graph_of("h100_ocs_torus");
  const auto kind = [&](std::uint32_t a, std::uint32_t b) {
    const std::vector<LinkIndex> way = graph.route(a, b, 0);
    REQUIRE(way.size() == 1);
    return graph.fabric().links[graph.links()[way.front()].kind].optics.has_value();
  };
  CHECK_FALSE(kind(2, 3));
  CHECK(kind(3, 4));
  CHECK(kind(7, 0));
  const std::set<std::uint32_t> classes(graph.symmetry().begin(), graph.symmetry().end());
  CHECK(classes.size() == 64);  // places in a block
}

TEST_CASE("a missing GPU and slow links are entries of the file") {
  const std::string base = "base: \"dgx_h100\"\n";
  const MachineGraph seven(*derived(base + "gpu_count: 7\nfabric { missing_gpu: 3 }\n").fabric);
  CHECK(seven.gpu_count() == 7);
  CHECK(seven.vertex_name(seven.links()[seven.route(0, 3, 0)[1]].to) == "gpu[4]");
  const MachineGraph slow(*derived(base + R"(gpu_count: 8
      fabric { slow_link { from: "gpu[2]" to: "node[0].switch[0]" share: 0.5 source { name: "*" text: "x" } } })")
                               .fabric);
  CHECK(slow.bandwidth(2, 0).count() == Approx(225e9 * 256 / 272));
  CHECK(slow.bandwidth(1, 0).count() == Approx(450e9 * 256 / 272));
  CHECK(slow.symmetry()[1] != slow.symmetry()[2]);
  // In a ring the others go the long way round.
  const MachineGraph ring(*torus("6", 5, "missing_gpu: 1\nlevel { name: \"node\" size: 6 }\n").fabric);
  CHECK(ring.route(0, 1, 0).size() == 4);
  CHECK(holds(fault_of(base + R"(gpu_count: 8
      fabric { slow_link { from: "gpu[9]" to: "node[0].switch[0]" share: 0.5 } })"),
              "no vertex"));
  CHECK(holds(fault_of(base + R"(gpu_count: 8
      fabric { slow_link { from: "gpu[2]" to: "node[0].switch[0]" share: 0 } })"),
              "gpu[2]"));
}

TEST_CASE("faults of a fabric are found where they stand") {
  CHECK(holds(fault_of("base: \"dgx_h100\"\ngpu_count: 9\n"), "must be 8"));
  CHECK(holds(fault_of("base: \"h100_sxm\"\ngpu_count: 2\n"), "needs a fabric"));
  CHECK(holds(fault_of("base: \"dgx_h100\"\ngpu_count: 16\nfabric { level { name: \"node\" size: 16 } }\n"),
              ":3:31: fabric.level[0].size: a switch of 16 GPUs takes 72 links, but nvswitch3 has 64 ports"));
  CHECK(holds(fault_of("base: \"dgx_h100\"\nfabric { level { name: \"node\" link: \"nvlink5\" } }\n"),
              "did you mean \"nvlink4\""));
  CHECK(holds(fault_of("base: \"h100_ocs_torus\"\nfabric { level { name: \"torus\" dimensions: [8, 8] } }\n"),
              "multiply to 64, not to the size of 512"));
}

TEST_CASE("a link budget that does not close says how many dB are missing") {
  const auto budget = [](double laser) {
    return fault_of("base: \"photonic_cpo_pod\"\nfabric { link { name: \"cpo_400g\" optics { laser_dbm: " +
                    std::to_string(laser) + " } } }\n");
  };
  const FabricSpec fabric = *load_machine("photonic_cpo_pod").fabric;
  const double spare = fabric.links[0].optics->spare_db(0), laser = fabric.links[0].optics->laser_dbm;
  CHECK(spare >= 0);
  CHECK(spare < 1);
  CHECK(budget(laser - spare + 0.001).empty());
  CHECK(holds(budget(laser - spare - 2), "does not close, 2 dB are missing"));
  // A circuit switch on the way takes its part.
  CHECK(
      holds(fault_of("base: \"h100_ocs_torus\"\nfabric { circuit_switch { name: \"palomar\" insertion_loss_db: 6 } }"),
            "of the circuit switch"));
}

TEST_CASE("credits and packets of a link follow their closed forms") {
  LinkSpec link = load_machine("dgx_h100").fabric->links[0];
  CHECK(link.wire().count() == Approx(25e9));
  CHECK(link.wire_bytes(Bytes(0)).count() == 16);
  CHECK(link.wire_bytes(Bytes(1)).count() == 32);
  CHECK(link.wire_bytes(Bytes(256)).count() == 272);
  CHECK(link.wire_bytes(Bytes(257)).count() == 304);
  link.receiver_buffer = Bytes(1000);
  CHECK(link.sustained().count() == Approx(1000 / (2 * link.latency().count())));
}

TEST_CASE("energy of light is on whether or not bits pass") {
  const LinkSpec link = load_machine("photonic_cpo_pod").fabric->links[0];
  const OpticalSpec& optics = *link.optics;
  CHECK(optics.laser_power().count() == Approx(2 * std::pow(10, optics.laser_dbm / 10) * 1e-3 / 0.15 / 4));
  CHECK(link.standing_power().count() > optics.laser_power().count());
  CHECK(link.full_load_pj_per_bit() == Approx(5.6).epsilon(0.1));  // Quantum-X Photonics: 9 W per 1.6 Tb/s
  const FabricSpec photonic = *load_machine("photonic_interposer_pod").fabric;
  const double interposer = photonic.links[0].full_load_pj_per_bit();
  CHECK(interposer > 2.3);  // Lightmatter, Celestial: 2.3 to 3.1
  CHECK(interposer < 3.1);
}
