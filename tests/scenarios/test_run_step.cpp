// SPDX-License-Identifier: Apache-2.0
// Training steps of real models over the GPUs of a plan, in closed form, with a library of collectives of the test's
// own: what each rank must send at the bandwidth between the first two of them.
#include "scenarios/step/run_step.h"

#include <fmt/core.h>

#include "catch.h"
#include "hardware/spec/machine_graph.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/step/unfold_step.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

hardware::MessageProgram one_round(const models::Communication& op, const std::vector<std::uint32_t>& gpus,
                                   const hardware::MachineGraph&, const hardware::GpuSpec&) {
  hardware::MessageProgram program;
  program.gpus = gpus;
  program.name = fmt::format("{} {} {}", name(op.kind), gpus.size(), op.elements);
  const double n = static_cast<double>(gpus.size());
  const double part = op.kind == models::CollectiveKind::send_receive ? 1
                      : op.kind == models::CollectiveKind::all_reduce ? 2 * (n - 1) / n
                                                                      : (n - 1) / n;
  hardware::WorkerClass worker;
  hardware::MessageStep step;
  step.bytes = Bytes(static_cast<std::uint64_t>(part * static_cast<double>(op.elements * info(op.format).bits / 8)));
  worker.blocks = {{1, {{1, {step}}}}};
  program.classes = {worker};
  return program;
}

MessageResult at_wire_rate(const hardware::MessageProgram& program, const hardware::MachineGraph& graph) {
  MessageResult out;
  out.program = program.name;
  const Bytes bytes = program.classes.at(0).blocks.at(0).segments.at(0).steps.at(0).bytes;
  out.start = Seconds(5e-6);
  out.time = out.start + Seconds(bytes.real() / graph.bandwidth(program.gpus.at(0), program.gpus.at(1)).count());
  const auto route = graph.route(program.gpus[0], program.gpus[1], 0);
  const std::string kind = graph.fabric().links[graph.links()[route.back()].kind].name;
  out.links = {{kind, 1, bytes, 1 - out.start / out.time, Joules(0)}};
  out.sms = 16;
  out.memory_read = out.memory_written = bytes;
  out.energy = Joules(1e-3);
  return out;
}

struct Bench {
  test::TemporaryFolder folder;
  Evaluators evaluators = real_evaluators();
  KernelStore store{{folder.path(), std::chrono::seconds(10), {}}};
  ProcessPool pool{{2, {}}};
  Progress progress{true};

  StepInput input(const std::string& name, const std::vector<std::string>& sets) {
    StepInput input = make_step_input(load_scenario(name, sets), {Evaluator::analytical, {}});
    input.pass.map_collective = one_round;
    return input;
  }
  StepResult run(const std::string& name, const std::vector<std::string>& sets) {
    evaluators.messages_analytical = at_wire_rate;
    return run_step(input(name, sets), ValidationTable(), {evaluators, store, pool, progress});
  }
};

constexpr const char* kSmall = "qwen3_0_6b_training_h100";

std::vector<std::string> on_dgx(const std::vector<std::string>& plan) {
  std::vector<std::string> sets{"machine=dgx_h100"};
  for (const std::string& one : plan) sets.push_back(one);
  return sets;
}

const std::vector<std::vector<std::string>> kPlans{
    {"plan.tensor=2", "plan.data=4"},
    {"plan.tensor=4", "plan.sequence_parallel=true", "plan.data=2", "plan.zero=1"},
    {"plan.data=8", "plan.zero=3"},
    {"plan.data=2", "plan.pipeline=4", "workload.training.micro_batches=8"},
    {"plan.tensor=2", "plan.pipeline=4", "plan.schedule=zero_bubble", "workload.training.micro_batches=8"},
    {"plan.tensor=2", "plan.pipeline=2", "plan.chunks=7", "plan.schedule=interleaved", "plan.data=2", "plan.zero=2",
     "workload.training.micro_batches=4", "workload.training.recomputation=full"}};

}  // namespace

TEST_CASE("on one GPU the step is its operators in a row") {
  Bench bench;
  for (const char* micro_batches : {"1", "3"}) {
    const std::string set = std::string("workload.training.micro_batches=") + micro_batches;
    const StepResult step = bench.run(kSmall, {set});
    const RunResult row = run_pass(make_pass_input(load_scenario(kSmall, {set}), {Evaluator::analytical, {}}),
                                   ValidationTable(), {bench.evaluators, bench.store, bench.pool, bench.progress});
    CHECK(step.time.count() == Approx(row.latency.count()));
    CHECK(step.tokens == row.tokens);
    CHECK(step.model_flops_utilisation == Approx(row.model_flops_utilisation));
    CHECK(step.hardware_flops_utilisation == Approx(row.hardware_flops_utilisation));
    CHECK(step.energy.count() == Approx(row.energy.count()));
    CHECK(step.stages[0].memory_used().real() == Approx(row.memory_used().real()).epsilon(0.1));
  }
}

TEST_CASE("every second of every stage has one reason, and no plan beats its kernels") {
  Bench bench;
  for (const auto& plan : kPlans) {
    const StepResult step = bench.run(kSmall, on_dgx(plan));
    INFO(step_summary(step));
    REQUIRE(step.gpus == 8);
    for (const StageRow& stage : step.stages) {
      CHECK(stage.time.total().count() == Approx(step.time.count()));
      for (const Seconds part : {stage.time.compute, stage.time.slowed, stage.time.layer, stage.time.data,
                                 stage.time.pipeline, stage.time.bubble}) {
        CHECK(part.count() >= -1e-9);
      }
      CHECK(stage.time.compute < step.time);
      CHECK(stage.memory_used() < step.memory_capacity);
      Bytes most;  // over time as much as the schedule said beforehand
      for (const MemorySample& sample : stage.saved) most = std::max(most, sample.bytes);
      CHECK(stage.saved.back().bytes == Bytes(0));
      for (const MemoryOwner& owner : stage.memory) {
        if (owner.name == "activations") CHECK(most == owner.bytes);
      }
    }
    CHECK(step.model_flops_utilisation < 0.75);
    CHECK(step.model_flops_utilisation > 0.05);
    CHECK(step.hardware_flops_utilisation >= step.model_flops_utilisation * 0.95);
  }
}

TEST_CASE("the step with a device per rank is the folded one") {
  Bench bench;
  for (const auto& plan : kPlans) {
    const StepResult step = bench.run(kSmall, on_dgx(plan));
    const auto each = static_cast<std::uint32_t>(step.gpus / step.stages.size());
    const workloads::PlanSpec spec = load_scenario(kSmall, on_dgx(plan)).plan;
    const StepGraph all = unfold(step.graph, {each / spec.data, spec.data});
    REQUIRE(all.devices == 8);
    CHECK(play(all).time == step.time);
  }
}

TEST_CASE("parameters of the stages are those of the model") {
  Bench bench;
  const StepInput one = bench.input(kSmall, {});
  const StepInput four =
      bench.input(kSmall, on_dgx({"plan.data=2", "plan.pipeline=4", "workload.training.micro_batches=8"}));
  const std::uint64_t all = stage_parameters(one.plan, 0);
  CHECK(all == 596049920);  // Qwen3 0.6B, whose tables are tied
  std::uint64_t sum = 0;
  for (std::uint32_t s = 0; s < 4; ++s) sum += stage_parameters(four.plan, s);
  CHECK(sum == all + 151936ull * 1024);  // the last stage has the table once more
}

TEST_CASE("memory that does not suffice is refused with its biggest owners, before any simulation") {
  Bench bench;
  const std::vector<std::string> plan = on_dgx({"model=llama3_1_70b", "plan.tensor=8", "workload.training.batch=1"});
  REQUIRE_THROWS_WITH(bench.input(kSmall, plan), Catch::Contains("does not fit the memory") &&
                                                     Catch::Contains("optimiser states") && Catch::Contains("weights"));
}

TEST_CASE("plans that break a rule of the pipeline are refused") {
  Bench bench;
  REQUIRE_THROWS_WITH(bench.input(kSmall, on_dgx({"plan.data=2", "plan.pipeline=4", "plan.schedule=interleaved",
                                                  "plan.chunks=7", "workload.training.micro_batches=6"})),
                      Catch::Contains("does not divide 6 micro batches"));
}

TEST_CASE("a step of 405 billion parameters on 16,384 GPUs") {
  Bench bench;
  const char* name = "llama3_405b_training_16384";
  const StepResult step = bench.run(name, {});
  INFO(step_summary(step));
  CHECK(step.gpus == 16384);
  CHECK(step.tokens == 16777216);
  // 6 FLOPs per parameter and token, and causal attention: 12 layers d tokens / 2 of them.
  const double flops = (6 * 403.7e9 + 6.0 * 126 * 16384 * 8192) * 1024;  // tokens per GPU
  CHECK(step.model_flops.real() == Approx(flops).epsilon(0.01));
  // The bubble of the schedule alone is (P - 1) / (V M); the layers that first and last stage lack make no odds.
  const StageTime mean = step.mean_time();
  CHECK(mean.bubble < (mean.compute + mean.slowed + mean.layer) * (15.0 / 128 + 0.05));
  CHECK(step.model_flops_utilisation > 0.35);
  CHECK(step.model_flops_utilisation < 0.6);
  REQUIRE_THROWS_WITH(bench.input(name, {"plan.zero=1"}), Catch::Contains("biggest: activations"));
}
