// SPDX-License-Identifier: Apache-2.0
// Collectives played message by message: closed forms, folding, deadlocks, in-switch steps, counters and energy.
#include <cmath>
#include <stdexcept>

#include "catch.h"
#include "hardware/message_programs.h"
#include "hardware/spec/load.h"

using namespace lightcone;
using namespace lightcone::hardware;
using namespace lightcone::hardware::testing;

namespace {

FabricSpec fabric_of(const std::string& name) { return *load_machine(name).fabric; }
MachineGraph star(std::uint32_t gpus) {
  FabricSpec fabric = fabric_of("dgx_h100");
  fabric.levels[0].size = gpus;
  return MachineGraph(fabric);
}
MachineGraph ring_graph(std::uint32_t gpus) {
  FabricSpec fabric = fabric_of("dgx_h100");
  LevelSpec& level = fabric.levels[0];
  level.topology = Topology::ring;
  level.size = gpus;
  level.interleaved = false;
  level.planes = 1;
  level.dimensions = {gpus};
  return MachineGraph(fabric);
}
double picoseconds(Seconds s) { return std::round(s.count() * 1e12); }

MessageResult played(const MessageProgram& program, const MachineGraph& graph, bool fold = false) {
  check(program);
  const Played out = play(program, graph, fold);
  CAPTURE(out.error);
  REQUIRE(out.result.has_value());
  return *out.result;
}

}  // namespace

TEST_CASE("one message takes the latency of the graph and its bytes at the rate of the wire") {
  for (const char* name : {"dgx_a100", "dgx_h100", "dgx_b200", "gb200_nvl72", "photonic_cpo_pod"}) {
    CAPTURE(name);
    const MachineGraph graph(fabric_of(name));
    const Bytes bytes(256u << 10);
    const double expected = graph.latency(0, 1).count() + bytes.real() / graph.bandwidth(0, 1).count();
    CHECK(played(stream(0, 1, bytes, 1), graph).time.count() == Approx(expected).epsilon(1e-6));
  }
  // Over NICs and an InfiniBand switch the slowest link counts.
  const MachineGraph cluster(fabric_of("h100_cluster"));
  const double cluster_time = cluster.latency(0, 8).count() + 4e6 / cluster.bandwidth(0, 8).count();
  CHECK(played(stream(0, 8, Bytes(4'000'000), 1), cluster).time.count() == Approx(cluster_time).epsilon(2e-4));
}

TEST_CASE("a long stream reaches the payload rate of 256 in 272 bytes of the wire, and not more") {
  const struct {
    const char* name;
    double raw;
  } machines[] = {{"dgx_a100", 300e9}, {"dgx_h100", 450e9}, {"dgx_b200", 900e9}};
  for (const auto& machine : machines) {
    const MachineGraph graph(fabric_of(machine.name));
    const MessageResult result = played(stream(0, 1, Bytes(1u << 20), 200), graph);
    const double rate = 200.0 * (1u << 20) / result.time.count();
    CHECK(rate < machine.raw * 256 / 272);
    CHECK(rate > machine.raw * 256 / 272 * 0.995);
    CHECK(result.bound_by.substr(0, 4) == "link");
  }
}

TEST_CASE("a ring all-reduce takes 2 (n - 1) steps of latency and chunk") {
  for (const std::uint32_t n : {2u, 4u, 8u}) {
    const MachineGraph graph = star(n);
    const Bytes bytes(1u << 20);
    const double step = graph.latency(0, 1).count() + bytes.real() / n / graph.bandwidth(0, 1).count();
    CHECK(played(ring_all_reduce(n, bytes), graph).time.count() == Approx(2 * (n - 1) * step).epsilon(1e-5));
  }
}

TEST_CASE("folded equals unfolded to the picosecond") {
  for (const std::uint32_t n : {8u, 16u, 64u}) {
    CAPTURE(n);
    const MachineGraph star_graph = star(n), circle = ring_graph(n);
    for (const MessageProgram& program : {ring_all_reduce(n, Bytes(3'000'000)), all_to_all(n, Bytes(100'000))}) {
      for (const MachineGraph* graph : {&star_graph, &circle}) {
        const MessageResult all = played(program, *graph, false), one = played(program, *graph, true);
        CHECK(picoseconds(one.time) == picoseconds(all.time));
        CHECK(one.simulated_fraction == Approx(1.0 / n));
        CHECK(all.simulated_fraction == 1);
        REQUIRE(one.links.size() == all.links.size());
        for (std::size_t l = 0; l < one.links.size(); ++l) {
          CHECK(one.links[l].wire == all.links[l].wire);
          CHECK(one.links[l].links == all.links[l].links);
          CHECK(one.links[l].busiest == Approx(all.links[l].busiest));
        }
        CHECK(one.energy.count() == Approx(all.energy.count()));
      }
    }
  }
}

TEST_CASE("ranks whose ways differ are not folded onto each other") {
  // A ring over two nodes: its messages pass NVSwitches and, twice, the network.
  const MachineGraph graph(fabric_of("h100_cluster"));
  const MessageProgram program = ring_all_reduce(16, Bytes(1u << 22));
  const MessageResult all = played(program, graph, false), some = played(program, graph, true);
  CHECK(picoseconds(some.time) == picoseconds(all.time));
  CHECK(some.simulated_fraction == Approx(0.5));  // 8 places in a node
  // A slow link makes every GPU its own.
  FabricSpec slow = fabric_of("dgx_h100");
  slow.slow_links.push_back({"gpu[2]", "node[0].switch[0]", 0.5});
  const MachineGraph degraded(slow);
  const MessageResult hurt = played(ring_all_reduce(8, Bytes(1u << 26)), degraded, true);
  CHECK(hurt.simulated_fraction == 1);
  CHECK(hurt.time.count() > 1.5 * played(ring_all_reduce(8, Bytes(1u << 26)), star(8), true).time.count());
}

TEST_CASE("leaves of a tree are folded onto each other, links between switches by what passes them") {
  FabricSpec fabric = fabric_of("h100_cluster_16384");
  fabric.levels[1].size = 128;
  const MachineGraph graph(fabric);
  const MessageProgram program = hierarchical(128, 8, Bytes(1u << 24));
  const MessageResult all = played(program, graph, false), some = played(program, graph, true);
  CHECK(picoseconds(some.time) == picoseconds(all.time));
  CHECK(some.simulated_fraction == Approx(32.0 / 1024));  // the nodes of a leaf, one GPU each
  REQUIRE(some.links.size() == all.links.size());
  for (std::size_t l = 0; l < some.links.size(); ++l) CHECK(some.links[l].wire == all.links[l].wire);
}

TEST_CASE("folded ranks that meet on one link all wait as long as the last of them") {
  FabricSpec fabric = fabric_of("h100_cluster_16384");
  fabric.levels[1].size = 256;  // two pods: eight rails share the links to a core
  const MachineGraph graph(fabric);
  const MessageProgram program = hierarchical(256, 8, Bytes(1u << 24));
  const MessageResult all = played(program, graph, false), some = played(program, graph, true);
  CHECK(some.simulated_fraction == Approx(128.0 / 2048));
  CHECK(some.time.count() >= all.time.count());
  CHECK(some.time.count() < all.time.count() * 1.001);
  for (std::size_t l = 0; l < some.links.size(); ++l) CHECK(some.links[l].wire == all.links[l].wire);
}

TEST_CASE("messages of several senders to one take turns at its port") {
  const MachineGraph graph = star(8);
  MessageProgram program;
  program.name = "incast";
  program.classes = {worker_class("sender", {{1, {step(kNoPeer, 0, Bytes(1u << 20))}}}), WorkerClass{}};
  std::vector<MessageSegment> takes;
  MessageWorker receiver;
  receiver.worker_class = 1;
  for (std::uint16_t r = 0; r < 7; ++r) takes.push_back({1, {step(r, kNoPeer, Bytes(0))}});
  program.classes[1] = worker_class("receiver", takes);
  for (std::uint32_t r = 0; r < 7; ++r) {
    MessageWorker sender;
    sender.rank = r + 1;
    sender.peers = {7};
    program.workers.push_back(sender);
    receiver.peers.push_back(r);
  }
  program.workers.push_back(receiver);
  for (std::uint32_t r = 0; r < 8; ++r) program.gpus.push_back(r);
  const double expected = graph.latency(0, 1).count() + 7.0 * (1u << 20) / graph.bandwidth(0, 1).count();
  CHECK(played(program, graph).time.count() == Approx(expected).epsilon(1e-5));
}

TEST_CASE("a sender stops when it is `slots` messages ahead") {
  const MachineGraph graph = star(8);
  MessageProgram program = stream(0, 1, Bytes(64), 100);
  const double round_trip = 2 * graph.latency(0, 1).count();
  for (const std::uint32_t slots : {1u, 4u}) {
    program.classes[0].slots = slots;
    const double groups = std::ceil(100.0 / slots);
    CHECK(played(program, graph).time.count() == Approx((groups - 0.5) * round_trip).epsilon(0.01));
  }
}

TEST_CASE("a worker's rate and overheads pace its steps") {
  const MachineGraph graph = star(8);
  MessageProgram program = stream(0, 1, Bytes(1'000'000), 10);
  program.classes[0].rate = BytesPerSecond(20e9);
  program.classes[0].step_overhead = Picoseconds(2'000'000);
  program.classes[0].blocks[0].segments[0].steps[0].compute = Picoseconds(5'000'000);
  program.start = Picoseconds(7'000'000);
  const MessageResult result = played(program, graph);
  CHECK(result.time.count() == Approx(7e-6 + 10 * (50e-6 + 2e-6 + 5e-6) + graph.latency(0, 1).count()));
  CHECK(result.bound_by == "worker");
  CHECK(result.longest_compute.count() == Approx(50e-6));
}

TEST_CASE("workers of one GPU hand over without a link") {
  MessageProgram program = stream(0, 1, Bytes(1000), 3);
  program.workers[1].rank = 0;
  program.gpus = {0};
  const MessageResult result = played(program, star(8));
  CHECK(result.messages == 0);
  CHECK(result.time.count() == 0);
}

TEST_CASE("a deadlock is told in words") {
  MessageProgram program = ring_all_reduce(2, Bytes(1000));
  program.classes[0] = worker_class("waiter", {{1, {step(1, kNoPeer, Bytes(0))}}, {1, {step(kNoPeer, 0, Bytes(1))}}});
  const Played out = play(program, star(8), false);
  CHECK_FALSE(out.result.has_value());
  CHECK(out.error.find("deadlock") != std::string::npos);
  CHECK(out.error.find("rank 0 (waiter) waits for a message from rank 1") != std::string::npos);
}

TEST_CASE("a switch adds and copies: each port carries every byte once in and once out") {
  const std::uint32_t n = 8;
  const MachineGraph graph = star(n);
  const Bytes part(8u << 20);
  MessageProgram program;
  program.name = "nvls";
  WorkerClass own;
  MessageStep load = step(kNoPeer, kNoPeer, part), copy = load;
  load.delivery = Delivery::reduced_load;
  copy.delivery = Delivery::multicast;
  std::vector<MessageSegment> segments{{1, {load, copy}}};
  for (std::uint16_t p = 0; p + 1u < n; ++p) segments.push_back({1, {step(p, kNoPeer, Bytes(0))}});
  program.classes = {worker_class("nvls", segments)};
  program.groups.resize(1);
  for (std::uint32_t r = 0; r < n; ++r) {
    program.gpus.push_back(r);
    program.groups[0].push_back(r);
    MessageWorker worker;
    worker.rank = r;
    for (std::uint32_t p = 1; p < n; ++p) worker.peers.push_back((r + p) % n);
    program.workers.push_back(worker);
  }
  const MessageResult result = played(program, graph);
  // Loads bring n parts over every up link, copies one more; down links as many the other way round.
  const double wire = static_cast<double>(graph.fabric().links[0].wire_bytes(part).count());
  REQUIRE(result.links.size() == 1);
  CHECK(result.links[0].wire.real() == 2 * n * (n + 1) * wire);
  const double port = (n + 1) * part.real() / graph.bandwidth(0, 1).count();
  CHECK(result.time.count() > port);
  CHECK(result.time.count() < 2.1 * port);
}

TEST_CASE("circuits cost their reconfiguration once per change of partner") {
  const MachineGraph graph(fabric_of("photonic_circuit_pod"));
  const double dark = graph.fabric().circuit_switches[0].reconfiguration.count();
  const Bytes bytes(1u << 20);
  const double one = graph.latency(0, 1).count() + bytes.real() / (graph.bandwidth(0, 1).count() / 8);
  CHECK(played(stream(0, 1, bytes, 1), graph).time.count() == Approx(one + dark).epsilon(1e-3));
  const double ten = graph.latency(0, 1).count() + 10 * bytes.real() / (graph.bandwidth(0, 1).count() / 8);
  CHECK(played(stream(0, 1, bytes, 10), graph).time.count() == Approx(ten + dark).epsilon(1e-2));
}

TEST_CASE("a circuit that serves two partners in turn is reconfigured each time") {
  const MachineGraph graph(fabric_of("photonic_circuit_pod"));
  const double dark = graph.fabric().circuit_switches[0].reconfiguration.count();
  const MessageResult result = played(all_to_all(8, Bytes(64)), graph, true);
  CHECK(result.simulated_fraction == 1);  // ports have states: not folded
  CHECK(result.time.count() > 7 * dark);
  CHECK(result.time.count() < 7 * (dark + graph.latency(0, 1).count()) * 1.05);
}

TEST_CASE("lasers cost energy while nothing is sent") {
  const MachineGraph graph(fabric_of("photonic_cpo_pod"));
  MessageProgram idle = stream(0, 1, Bytes(0), 1);
  idle.classes[0].blocks[0].segments[0].steps[0].compute = Picoseconds(1'000'000'000);  // a millisecond
  const MessageResult result = played(idle, graph);
  const LinkSpec& link = graph.fabric().links[0];
  REQUIRE(result.links.size() == 1);
  // 2 GPUs x 32 links x both directions.
  CHECK(result.links[0].energy.count() == Approx(128 * link.standing_power().count() * 1e-3).epsilon(1e-2));
  CHECK(result.energy.count() > result.links[0].energy.count());
}

TEST_CASE("totals count what crosses links") {
  const MessageTotals sums = totals(ring_all_reduce(8, Bytes(8000)));
  CHECK(sums.messages == 8 * 14);
  CHECK(sums.payload.count() == 8 * 14 * 1000);
  CHECK(played(ring_all_reduce(8, Bytes(8000)), star(8)).messages == sums.messages);
}

TEST_CASE("malformed programs are refused") {
  MessageProgram program = ring_all_reduce(4, Bytes(4096));
  check(program);
  MessageProgram wrong = program;
  wrong.workers[0].peers[0] = 9;
  CHECK_THROWS_AS(check(wrong), std::logic_error);
  wrong = program;
  wrong.classes[0].blocks[0].segments[2].repeat = 2;
  CHECK_THROWS_WITH(check(wrong), Catch::Contains("receives 7 messages"));
  wrong = program;
  wrong.classes[0].blocks[0].segments[2].repeat = 0;
  CHECK_THROWS_WITH(check(wrong), Catch::Contains("never received"));
  wrong = program;
  wrong.classes[0].blocks[0].segments[0].steps[0].delivery = Delivery::multicast;
  CHECK_THROWS_WITH(check(wrong), Catch::Contains("has no group"));
}
