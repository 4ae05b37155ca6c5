// SPDX-License-Identifier: Apache-2.0
// Ring attention message by message: exact bytes, hidden messages cost nothing, exposed ones show, and the smallest
// blocks that hide them are those of the paper.
#include <cstdint>
#include <numeric>
#include <vector>

#include "catch.h"
#include "hardware/machine/evaluate_messages.h"
#include "hardware/message_programs.h"
#include "hardware/spec/load.h"
#include "scenarios/mapping/collectives/ring_attention.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using workloads::ContextScheme;

namespace {

models::Attention block(std::uint64_t tokens, std::uint64_t heads, std::uint64_t kv_heads) {
  models::Attention a;
  a.batch = 1;
  a.heads = heads;
  a.kv_heads = kv_heads;
  a.q_len = a.kv_len = tokens;
  a.head_dim = 128;
  return a;
}

struct Ring {
  hardware::MachineSpec machine;
  hardware::MachineGraph graph;
  explicit Ring(const std::string& name) : machine(hardware::load_machine(name)), graph(*machine.fabric) {}

  hardware::MessageProgram program(const models::Attention& a, ContextScheme scheme, std::uint32_t ranks,
                                   const OperatorTime& time) const {
    std::vector<std::uint32_t> gpus(ranks);
    std::iota(gpus.begin(), gpus.end(), 0u);
    return ring_attention_program({a, scheme}, gpus, graph, machine.gpu, time);
  }
  double seconds(const models::Attention& a, ContextScheme scheme, std::uint32_t ranks,
                 const OperatorTime& time) const {
    return hardware::evaluate_messages_analytical(program(a, scheme, ranks, time), graph).time.count();
  }
};

// A machine that multiplies at so many FLOP/s and does everything else in no time, as the paper's estimate has it.
OperatorTime at_rate(double flops) {
  return [flops](const models::Operator& op) {
    if (!std::holds_alternative<models::Attention>(op)) return Seconds(0);
    return Seconds(models::cost(op).matrix_flops.real() / flops);
  };
}

}  // namespace

TEST_CASE("K and V of every rank go to all others once") {
  const Ring ring("dgx_h100");
  for (const std::uint32_t ranks : {2u, 3u, 8u}) {
    for (const ContextScheme scheme : {ContextScheme::ring, ContextScheme::zigzag, ContextScheme::striped}) {
      const hardware::MessageProgram program = ring.program(block(4096, 32, 8), scheme, ranks, at_rate(1e15));
      hardware::check(program);
      REQUIRE(hardware::totals(program).payload.count() == std::uint64_t{ranks} * (ranks - 1) * 4096 * 8 * 256 * 2);
    }
  }
  REQUIRE_THROWS_AS(ring.program(block(64, 8, 8), ContextScheme::ulysses, 4, at_rate(1e15)), ConfigError);
}

TEST_CASE("hidden messages cost nothing, and the schemes share out the triangle") {
  const Ring ring("dgx_h100");
  constexpr double kFlops = 2e14;
  const models::Attention a = block(16384, 32, 8);
  const double causal = models::cost(models::Operator(a)).matrix_flops.real() / kFlops;
  // The last rank of contiguous blocks: its triangle and seven whole squares, each two triangles less the diagonal.
  REQUIRE(ring.seconds(a, ContextScheme::ring, 8, at_rate(kFlops)) == Approx(15 * causal).epsilon(0.01));
  REQUIRE(ring.seconds(a, ContextScheme::zigzag, 8, at_rate(kFlops)) == Approx(8 * causal).epsilon(0.01));
  REQUIRE(ring.seconds(a, ContextScheme::striped, 8, at_rate(kFlops)) == Approx(8 * causal).epsilon(0.01));
}

TEST_CASE("without work to hide behind, the rounds take as long as their messages") {
  const Ring ring("dgx_h100");
  const models::Attention a = block(16384, 32, 8);
  const double bytes = 16384.0 * 8 * 256 * 2;
  const double exposed = ring.seconds(a, ContextScheme::zigzag, 8, [](const models::Operator&) { return Seconds(0); });
  REQUIRE(exposed > 7 * bytes / ring.graph.bandwidth(0, 1).count());
  REQUIRE(exposed < 14 * bytes / ring.graph.bandwidth(0, 1).count());
}

TEST_CASE("the smallest block that hides the messages is FLOP/s over bytes/s (Liu et al. 2023, table 2)") {
  // Full precision of compute and of links: 312 TFLOP/s; what a ring of sends reaches of the wire.
  const Ring ring("dgx_a100");
  constexpr double kFlops = 312e12;
  const auto exposed = [&](std::uint64_t tokens) {
    models::Attention a = block(tokens, 32, 32);
    a.causal = false;
    const double compute = 8 * models::cost(models::Operator(a)).matrix_flops.real() / kFlops;
    return ring.seconds(a, ContextScheme::ring, 8, at_rate(kFlops)) / compute - 1;
  };
  std::uint64_t smallest = 128;
  while (exposed(smallest) > 0.05) smallest += 128;
  INFO(smallest);
  REQUIRE(smallest >= 1024);  // F/B = 1.04 thousand at the full 300 GB/s
  REQUIRE(smallest <= 2048);  // a ring of sends reaches 0.8 of it, and each round has latencies
}

TEST_CASE("closed form and simulation of a ring agree") {
  const Ring ring("dgx_a100");
  for (const ContextScheme scheme : {ContextScheme::ring, ContextScheme::zigzag}) {
    for (const double flops : {1e14, 1e16}) {
      const hardware::MessageProgram program = ring.program(block(8192, 32, 8), scheme, 8, at_rate(flops));
      const hardware::testing::Played played = hardware::testing::play(program, ring.graph, true);
      INFO(played.error);
      REQUIRE(played.result.has_value());
      REQUIRE(hardware::evaluate_messages_analytical(program, ring.graph).time.count() ==
              Approx(played.result->time.count()).epsilon(0.05));
    }
  }
}
