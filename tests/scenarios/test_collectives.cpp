// SPDX-License-Identifier: Apache-2.0
// Collectives as messages: sound programs whose bytes are the textbook's, no faster than the wire, the library's choice
// from small to large, and the closed form against the simulation.
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "catch.h"
#include "hardware/machine/evaluate_messages.h"
#include "hardware/message_programs.h"
#include "hardware/spec/load.h"
#include "scenarios/mapping/collectives/map_collective.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using models::CollectiveKind;

namespace {

struct Machine {
  explicit Machine(const std::string& name) : spec(hardware::load_machine(name)), graph(*spec.fabric) {}
  hardware::MachineSpec spec;
  hardware::MachineGraph graph;
};

std::vector<std::uint32_t> first(std::uint32_t ranks) {
  std::vector<std::uint32_t> gpus(ranks);
  std::iota(gpus.begin(), gpus.end(), 0u);
  return gpus;
}

models::Communication of(CollectiveKind kind, std::uint64_t bytes, std::uint32_t ranks) {
  models::Communication op;
  op.kind = kind;
  op.ranks = ranks;
  op.format = NumberFormat::bf16;
  op.elements = bytes / 2;
  return op;
}

MappedCollective map(const Machine& machine, CollectiveKind kind, std::uint64_t bytes, std::uint32_t ranks,
                     const CollectiveOptions& options = {}) {
  return map_collective(of(kind, bytes, ranks), first(ranks), machine.graph, machine.spec.gpu, options);
}

CollectiveOptions by(CollectiveAlgorithm algorithm) {
  CollectiveOptions options;
  options.algorithm = algorithm;
  return options;
}

}  // namespace

TEST_CASE("rings carry what the textbook says: (P-1)/P of the buffer per rank, all-reduce twice") {
  const Machine machine("dgx_h100");
  constexpr std::uint64_t kBytes = 96ull << 20;  // divides by 2..8 ranks and 24 channels but for a few bytes
  for (std::uint32_t ranks = 2; ranks <= 8; ++ranks) {
    for (const CollectiveKind kind :
         {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
      const hardware::MessageProgram program = map(machine, kind, kBytes, ranks, by(CollectiveAlgorithm::ring)).program;
      INFO(program.name << " of " << ranks);
      hardware::check(program);
      const double once = static_cast<double>(kBytes) * (ranks - 1) / ranks * ranks;  // over all ranks
      const double expected = kind == CollectiveKind::all_reduce ? 2 * once : once;
      REQUIRE(hardware::totals(program).payload.real() == Approx(expected).epsilon(1e-4));
    }
    const hardware::MessageProgram all = map(machine, CollectiveKind::all_to_all, kBytes, ranks).program;
    hardware::check(all);
    REQUIRE(hardware::totals(all).payload.real() ==
            Approx(static_cast<double>(kBytes) * (ranks - 1) / ranks * ranks).epsilon(1e-4));
    const hardware::MessageProgram chain =
        map(machine, CollectiveKind::broadcast, kBytes, ranks, by(CollectiveAlgorithm::ring)).program;
    hardware::check(chain);
    REQUIRE(hardware::totals(chain).payload.real() == Approx(static_cast<double>(kBytes) * (ranks - 1)).epsilon(1e-4));
  }
}

TEST_CASE("shots: everything to everybody, or a part to everybody twice") {
  const Machine machine("dgx_a100");
  CollectiveOptions options = by(CollectiveAlgorithm::one_shot);
  options.library = CollectiveLibrary::vllm;
  const hardware::MessageProgram one = map(machine, CollectiveKind::all_reduce, 1u << 20, 4, options).program;
  hardware::check(one);
  REQUIRE(hardware::totals(one).payload.count() == 4ull * 3 * (1u << 20));
  options.algorithm = CollectiveAlgorithm::two_shot;
  const hardware::MessageProgram two = map(machine, CollectiveKind::all_reduce, 1u << 20, 4, options).program;
  hardware::check(two);
  REQUIRE(hardware::totals(two).payload.count() == 2ull * 4 * 3 * (1u << 18));
  // NCCL has none.
  options.library = CollectiveLibrary::nccl;
  REQUIRE_THROWS_AS(map(machine, CollectiveKind::all_reduce, 1u << 20, 4, options), ConfigError);
}

TEST_CASE("no ring is faster than the wire, and larger takes longer") {
  for (const char* name : {"dgx_a100", "dgx_h100", "dgx_b200"}) {
    const Machine machine(name);
    const double wire = machine.graph.bandwidth(0, 1).count();
    for (const std::uint32_t ranks : {2u, 3u, 5u, 8u}) {
      double last = 0;
      for (std::uint64_t bytes = 1024; bytes <= (1ull << 32); bytes *= 8) {
        const MappedCollective mapped =
            map(machine, CollectiveKind::all_reduce, bytes, ranks, by(CollectiveAlgorithm::ring));
        const double time = hardware::evaluate_messages_analytical(mapped.program, machine.graph).time.count();
        INFO(name << " " << ranks << " " << bytes << " " << mapped.note);
        REQUIRE(static_cast<double>(bytes) * 2 * (ranks - 1) / ranks / time < wire);
        REQUIRE(time > 0.95 * last);  // more channels may just pay for eight times the bytes
        last = time;
      }
    }
  }
}

TEST_CASE("the library's choice: flags in the lines for small buffers, the switch for large ones where it can add") {
  const Machine hopper("dgx_h100"), ampere("dgx_a100");
  REQUIRE(map(hopper, CollectiveKind::all_reduce, 4096, 8).program.name.find("ring_ll_") != std::string::npos);
  REQUIRE(map(hopper, CollectiveKind::all_reduce, 1ull << 30, 8).program.name.find("in_switch") != std::string::npos);
  REQUIRE(map(ampere, CollectiveKind::all_reduce, 1ull << 30, 8).program.name.find("ring_simple") != std::string::npos);
  REQUIRE_THROWS_AS(map(ampere, CollectiveKind::all_reduce, 1ull << 30, 8, by(CollectiveAlgorithm::in_switch)),
                    ConfigError);
  REQUIRE_THROWS_AS(map(hopper, CollectiveKind::all_reduce, 1024, 9), ConfigError);
  REQUIRE_THROWS_AS(map(hopper, CollectiveKind::all_reduce, 1024, 1), ConfigError);
}

TEST_CASE("inside a node NCCL goes by its own tables, with the jump where they change protocol") {
  const Machine hopper("dgx_h100");
  const auto chosen = [&](CollectiveKind kind, std::uint64_t bytes, std::uint32_t ranks) {
    return map(hopper, kind, bytes, ranks).program.name;
  };
  // 6.6 + 2 x 0.6 us and 141 GB/s against 8.4 + 2 x 3.4 us and 360 GB/s: even at 1.71 MB.
  REQUIRE(chosen(CollectiveKind::all_reduce, 1'700'000, 2).find("ring_ll_") != std::string::npos);
  REQUIRE(chosen(CollectiveKind::all_reduce, 1'730'000, 2).find("ring_simple") != std::string::npos);
  const auto time = [&](std::uint64_t bytes) {
    const MappedCollective mapped = map(hopper, CollectiveKind::all_reduce, bytes, 2);
    return hardware::evaluate_messages_analytical(mapped.program, hopper.graph).time.count() * 1e6;
  };
  REQUIRE(time(1'730'000) > time(1'700'000) + 2);
  // LL128 stands between them where there are more steps.
  REQUIRE(chosen(CollectiveKind::reduce_scatter, 8 << 20, 8).find("ring_ll128") != std::string::npos);
  // The switch pays when there are heads enough: 4 x 60 GB/s do not reach a ring, 8 x 40 GB/s do.
  REQUIRE(chosen(CollectiveKind::all_reduce, 1ull << 30, 4).find("ring_simple") != std::string::npos);
  REQUIRE(chosen(CollectiveKind::all_reduce, 1ull << 30, 8).find("in_switch") != std::string::npos);
}

TEST_CASE("closed form and simulation agree") {
  for (const char* name : {"dgx_a100", "dgx_h100"}) {
    const Machine machine(name);
    for (const CollectiveKind kind : {CollectiveKind::all_reduce, CollectiveKind::all_gather,
                                      CollectiveKind::reduce_scatter, CollectiveKind::all_to_all}) {
      for (const std::uint32_t ranks : {2u, 4u, 8u}) {
        for (const std::uint64_t bytes : {8192ull, 1ull << 20, 64ull << 20}) {
          const MappedCollective mapped = map(machine, kind, bytes, ranks);
          const MessageResult closed = hardware::evaluate_messages_analytical(mapped.program, machine.graph);
          const hardware::testing::Played played = hardware::testing::play(mapped.program, machine.graph, true);
          INFO(name << " " << mapped.note << " " << played.error);
          REQUIRE(played.result.has_value());
          CHECK(closed.time.count() == Approx(played.result->time.count()).epsilon(0.1));
          CHECK(closed.payload == played.result->payload);
        }
      }
    }
  }
}
