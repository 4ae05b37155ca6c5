// SPDX-License-Identifier: Apache-2.0
// The parts of a fabric on exact times: blocked at n - 1, ready at n; unloaded latency and peak rate as their closed
// forms say.
#include "catch.h"
#include "hardware/parts/fabric_link.h"
#include "hardware/parts/fabric_nic.h"
#include "hardware/parts/fabric_switch.h"
#include "hardware/parts/optical_circuit_switch.h"
#include "hardware/spec/load.h"

using namespace lightcone;
using namespace lightcone::hardware;

namespace {

// 10 GB/s: 100 ps per byte; 30 ns from end to end.
LinkSpec plain_link() {
  LinkSpec out;
  out.lanes = 8;
  out.gigabits_per_second_per_lane = 10;
  out.receiver_buffer = Bytes(1u << 20);
  out.serdes_latency = Seconds(20e-9);
  out.metres = 2;
  out.flight_per_metre = Seconds(5e-9);
  return out;
}

}  // namespace

TEST_CASE("a link cuts through, and serves one message after the other") {
  FabricLink link(plain_link(), 1);
  CHECK(link.latency_ps() == 30'000);
  const FabricLink::Passage first = link.send(1000, 1000, 272);
  CHECK(first.first_ps == 1000);
  CHECK(first.last_ps == 1000 + 27'200);
  // Taken until 28,200: a message that comes one picosecond before waits for one, a later one does not.
  FabricLink other = link;
  CHECK(link.send(28'199, 28'199, 10).first_ps == 28'200);
  CHECK(other.send(28'200, 28'200, 10).first_ps == 28'200);
  CHECK(other.send(50'000, 50'000, 10).first_ps == 50'000);
  CHECK(link.busy_ps() == 27'200 + 1000);
  CHECK(link.wire_bytes() == 282);
}

TEST_CASE("bundles are as fast as their links together") {
  FabricLink four(plain_link(), 4);
  CHECK(four.send(0, 0, 400).last_ps == 10'000);
}

TEST_CASE("a message of a slow sender ends when the sender does, and lets others pass") {
  FabricLink link(plain_link(), 1);
  CHECK(link.send(0, 90'000, 100).last_ps == 90'000);
  CHECK(link.free_at_ps() == 10'000);
  CHECK(link.send(5000, 5000, 100).last_ps == 20'000);
}

TEST_CASE("credits limit long messages to buffer per round trip, and short ones not at all") {
  LinkSpec spec = plain_link();
  spec.receiver_buffer = Bytes(300);  // round trip of 60 ns: 5 GB/s, half of the wire
  CHECK(spec.sustained().count() == Approx(5e9));
  FabricLink link(spec, 1);
  CHECK(link.send(0, 0, 300).last_ps == 30'000);  // the whole buffer at the rate of the wire
  // Half of it is back by then. 400 bytes more need 700 credits: 300, and 400 at 200 ps each.
  CHECK(link.send(30'000, 30'000, 400).last_ps == 80'000);
  FabricLink rested = FabricLink(spec, 1);
  rested.send(0, 0, 300);
  CHECK(rested.send(90'000, 90'000, 300).last_ps == 120'000);  // a round trip later all credits are back
  FabricLink busy(spec, 1);
  std::uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) last = busy.send(0, 0, 3000).last_ps;
  CHECK(3e6 / static_cast<double>(last) * 1e12 == Approx(5e9).epsilon(1e-3));
}

TEST_CASE("peak rate of every link in the catalog is its closed form") {
  for (const char* name : {"dgx_h100", "h100_cluster", "photonic_cpo_pod", "photonic_interposer_pod"}) {
    const MachineSpec machine = load_machine(name);
    for (const LinkSpec& spec : machine.fabric->links) {
      CAPTURE(name, spec.name);
      FabricLink link(spec, 1);
      const Bytes payload(1u << 20);
      std::uint64_t last = 0;
      for (int i = 0; i < 64; ++i) last = link.send(0, 0, spec.wire_bytes(payload).count()).last_ps;
      CHECK(64 * payload.real() / (static_cast<double>(last) * 1e-12) ==
            Approx(spec.sustained().count() * spec.packet_efficiency()).epsilon(1e-4));
      CHECK(link.latency_ps() == to_picoseconds(spec.latency()).count());
    }
  }
}

TEST_CASE("a NIC takes messages no faster than its gap") {
  NicSpec spec;
  spec.latency = Seconds(600e-9);
  spec.message_gap = Seconds(3e-9);
  FabricNic nic(spec);
  CHECK(nic.pass(0) == 600'000);
  CHECK(nic.pass(2999) == 603'000);
  CHECK(nic.pass(6000) == 606'000);
}

TEST_CASE("a switch delays the first bit; a sum leaves when all inputs are there") {
  SwitchSpec spec;
  spec.latency = Seconds(100e-9);
  CHECK(FabricSwitch(spec).pass(7) == 100'007);
  SwitchReduction sum;
  sum.add(500, 900);
  sum.add(700, 800);
  CHECK(sum.head_ps() == 700);
  CHECK(sum.tail_ps() == 900);
}

TEST_CASE("a circuit is set once, and changes only when its light is out") {
  CircuitSwitchSpec spec;
  spec.radix = 8;
  spec.reconfiguration = Seconds(1e-6);
  OpticalCircuitSwitch ocs(spec);
  CHECK(ocs.connect(0, 1, 10) == 1'000'010);
  ocs.hold(0, 1, 1'500'000);
  CHECK(ocs.connect(0, 1, 1'200'000) == 1'200'000);              // stands
  CHECK(ocs.connect(2, 3, 1'200'000) == 2'200'000);              // others are not disturbed
  CHECK(ocs.connect(0, 3, 1'200'000) == 2'200'000 + 1'000'000);  // both ends must be dark: 3 until 2,200,000
  CHECK(ocs.connect(0, 1, 3'300'000) == 4'300'000);              // and the old circuit is gone
  CHECK(ocs.reconfigurations() == 4);
}
