// SPDX-License-Identifier: Apache-2.0
// One rank of a plan, run in closed form with a library of collectives of the test's own: two messages per rank at the
// wire's rate.
#include <fmt/core.h>

#include "catch.h"
#include "hardware/spec/machine_graph.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/run/result_io.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

constexpr double kStart = 3e-6;

// Every rank sends the elements once; the program's name says what was asked.
hardware::MessageProgram one_round(const models::Communication& op, const std::vector<std::uint32_t>& gpus) {
  hardware::MessageProgram program;
  program.gpus = gpus;
  program.name = fmt::format("{} {} {}", name(op.kind), gpus.size(), op.elements);
  hardware::WorkerClass worker;
  worker.name = "round";
  hardware::MessageStep step;
  step.bytes = Bytes(op.elements * info(op.format).bits / 8);
  worker.blocks = {{1, {{1, {step}}}}};
  program.classes = {worker};
  return program;
}

MessageResult at_wire_rate(const hardware::MessageProgram& program, const hardware::MachineGraph& graph) {
  MessageResult out;
  out.program = program.name;
  const Bytes bytes = program.classes.at(0).blocks.at(0).segments.at(0).steps.at(0).bytes;
  out.start = Seconds(kStart);
  out.time = Seconds(kStart + bytes.real() / graph.bandwidth(program.gpus.at(0), program.gpus.at(1)).count());
  out.bound_by = "link";
  out.energy = Joules(1e-3);
  return out;
}

struct Bench {
  test::TemporaryFolder folder;
  Evaluators evaluators = real_evaluators();
  KernelStore store{{folder.path(), std::chrono::seconds(10), {}}};
  ProcessPool pool{{2, {}}};
  Progress progress{true};
  std::vector<std::vector<std::uint32_t>> groups;  // of the collectives, as asked for

  RunResult run(const std::string& name, const std::vector<std::string>& sets) {
    evaluators.messages_analytical = at_wire_rate;
    PassInput input = make_pass_input(load_scenario(name, sets), {Evaluator::analytical, {}});
    input.map_collective = [this](const models::Communication& op, const std::vector<std::uint32_t>& gpus,
                                  const hardware::MachineGraph&, const hardware::GpuSpec&) {
      groups.push_back(gpus);
      return one_round(op, gpus);
    };
    return run_pass(input, ValidationTable(), {evaluators, store, pool, progress});
  }
};

std::vector<std::string> on_dgx(int tensor, const std::string& more = {}) {
  std::vector<std::string> sets{"machine=dgx_h100", fmt::format("plan.tensor={}", tensor),
                                fmt::format("plan.data={}", 8 / tensor)};
  if (!more.empty()) sets.push_back(more);
  return sets;
}

Bytes memory(const RunResult& r, const std::string& owner) {
  for (const MemoryOwner& entry : r.memory) {
    if (entry.name == owner) return entry.bytes;
  }
  return {};
}

}  // namespace

TEST_CASE("tensor ranks share weights, cache and time of a decode step; communication is what they wait for") {
  Bench bench;
  const RunResult one = bench.run("llama3_8b_decode_h100", {});
  for (const int ranks : {2, 4, 8}) {
    bench.groups.clear();
    const RunResult r = bench.run("llama3_8b_decode_h100", on_dgx(ranks));
    INFO(ranks << " ranks");
    REQUIRE(r.gpus == 8);
    REQUIRE(bench.groups.at(0).size() == static_cast<std::size_t>(ranks));
    REQUIRE(r.tokens == 32u * 8 / ranks);
    REQUIRE(memory(r, "KV cache").count() * ranks == memory(one, "KV cache").count());
    REQUIRE(memory(r, "weights").real() * ranks == Approx(memory(one, "weights").real()).epsilon(0.001));
    // Sums of embedding, mixers and MLPs, and the logits.
    double sums = 0;
    for (const OperatorRow& row : r.operators) {
      if (row.kind == "all_reduce" || row.kind == "all_gather") sums += static_cast<double>(row.repeat);
    }
    REQUIRE(sums == 1 + 2 * 32 + 1);
    const double waiting = r.exposed_communication().count() + sums * kStart;
    const double computing = r.latency.count() - waiting;
    CHECK(computing > one.latency.count() / ranks * 0.99);  // kernels get no more efficient
    CHECK(computing < one.latency.count() * (1.0 / ranks + 0.25));
    REQUIRE(r.tokens_per_second_per_gpu() * 8 == Approx(r.tokens_per_second));
  }
}

TEST_CASE("70 billion parameters fit one GPU of eight, and do not fit one alone") {
  Bench bench;
  const std::string big = "model=llama3_1_70b";
  REQUIRE_THROWS_WITH(bench.run("llama3_8b_decode_h100", {big}), Catch::Contains("does not fit the memory"));
  const RunResult r = bench.run("llama3_8b_decode_h100", on_dgx(8, big));
  REQUIRE(r.memory_used() < r.memory_capacity);
  CHECK(r.latency.count() > 17.64e9 / 3.35e12);  // a rank's weights at the bandwidth of HBM
  const auto read = parse_run_result(serialise(r));
  REQUIRE(read);
  REQUIRE(read->gpus == 8);
  REQUIRE(read->plan == "tensor 8");
}

TEST_CASE("without a library of collectives a plan is refused by operator") {
  PassInput input = make_pass_input(load_scenario("llama3_8b_decode_h100", on_dgx(8)), {Evaluator::analytical, {}});
  input.map_collective = {};
  REQUIRE_THROWS_WITH(map_nodes(input), Catch::Contains("mixer_sum") && Catch::Contains("no library of collectives"));
}

TEST_CASE("a ring of context ranks: the pairs of the gathered form, messages hidden or exposed") {
  Bench bench;
  bench.evaluators = real_evaluators();
  const auto of = [&](const std::string& scheme, const std::string& machine, int ranks) {
    PassInput input = make_pass_input(
        load_scenario("llama3_8b_h100",
                      {"machine=" + machine, fmt::format("plan.context={}", ranks), "plan.context_scheme=" + scheme,
                       "workload.prefill.prompt_tokens=65536", "workload.launch=stream"}),
        {Evaluator::analytical, {}});
    return run_pass(input, ValidationTable(), {bench.evaluators, bench.store, bench.pool, bench.progress});
  };
  const auto flops = [](const RunResult& r) {
    double sum = 0;
    for (const OperatorRow& row : r.operators) sum += row.matrix_flops.real() * static_cast<double>(row.repeat);
    return sum;
  };
  const RunResult zigzag = of("zigzag", "dgx_h100", 8), gathered = of("gather", "dgx_h100", 8),
                  contiguous = of("ring", "dgx_h100", 8);
  REQUIRE(flops(zigzag) == Approx(flops(gathered)).epsilon(1e-3));
  // The last rank of contiguous blocks has nearly twice the pairs of the mean.
  REQUIRE(contiguous.latency.count() > 1.2 * zigzag.latency.count());
  REQUIRE(zigzag.exposed_communication().count() < 0.01 * zigzag.latency.count());
  // A thousand tokens per rank do not hide their messages between nodes.
  const RunResult slow = of("zigzag", "infiniband_64", 64);
  REQUIRE(slow.exposed_communication().count() > 0.1 * slow.latency.count());
}
