// SPDX-License-Identifier: Apache-2.0
// Training scenarios, run in closed form: tokens, FLOPs, phases, memory by owner, what a run writes of them, and
// faults.
#include "catch.h"
#include "models/families/model_graph.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/explain.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/run/result_io.h"
#include "scenarios/run/result_json.h"
#include "scenarios/run/summary.h"
#include "scenarios/run/timeline.h"
#include "scenarios/run/write_run.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

constexpr const char* kScenario = "qwen3_0_6b_training_h100";

struct Bench {
  test::TemporaryFolder folder;
  Evaluators evaluators = real_evaluators();
  KernelStore store{{folder.path(), std::chrono::seconds(10), {}}};
  ProcessPool pool{{2, {}}};
  Progress progress{true};
  RunResult run(const std::vector<std::string>& sets = {}) {
    return run_pass(make_pass_input(load_scenario(kScenario, sets), {Evaluator::analytical, {}}), ValidationTable(),
                    {evaluators, store, pool, progress});
  }
};

std::string error_of(const std::vector<std::string>& sets) {
  Bench bench;
  try {
    bench.run(sets);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

double seconds_of(const RunResult& r, const std::string& phase) {
  for (const auto& [name, time] : r.phase_times()) {
    if (name == phase) return time.count();
  }
  return 0;
}

std::uint64_t bytes_of(const RunResult& r, const std::string& owner) {
  for (const MemoryOwner& entry : r.memory) {
    if (entry.name == owner) return entry.bytes.count();
  }
  return 0;
}

const std::string kSmall = "workload.training.sequence_tokens=512";

}  // namespace

TEST_CASE("a training step: tokens, MFU of three forward passes, phases that sum to the latency") {
  Bench bench;
  const RunResult r = bench.run();
  REQUIRE(r.phase == "training");
  REQUIRE(r.tokens == 4 * 4096);
  // Qwen3 0.6B: 28 layers of d 1024, 16 heads and 8 KV heads of 128, MLP of 3072; vocabulary 151936; causal attention.
  const double matrices = 28 * (1024.0 * 4096 + 2048.0 * 1024 + 3 * 1024.0 * 3072) + 1024.0 * 151936;
  const double attention = 28 * 4.0 * 16 * 128 * (4 * 4096.0 * 4097 / 2);
  const double forward = 2 * matrices * 16384 + attention;
  const double peak = 4096.0 * 132 * r.boost_clock.count();
  REQUIRE(r.model_flops_utilisation == Approx(3 * forward / peak / r.latency.count()).epsilon(1e-6));
  // The backward of attention computes the scores again: half of the forward's products more.
  REQUIRE(r.hardware_flops_utilisation ==
          Approx((3 * forward + attention / 2) / peak / r.latency.count()).epsilon(1e-6));
  REQUIRE(r.model_flops_utilisation > 0.2);
  REQUIRE(r.model_flops_utilisation < 0.8);
  const double phases = seconds_of(r, "forward") + seconds_of(r, "backward") + seconds_of(r, "optimiser");
  REQUIRE(phases == Approx(r.latency.count()).epsilon(1e-9));
  REQUIRE(seconds_of(r, "backward") > 1.5 * seconds_of(r, "forward"));
  REQUIRE(seconds_of(r, "backward") < 3.5 * seconds_of(r, "forward"));
  // 28 bytes per parameter at no more than the peak bandwidth.
  REQUIRE(seconds_of(r, "optimiser") > 28 * 596e6 / r.hbm_peak.count());
  REQUIRE(seconds_of(r, "optimiser") < 1.5 * 28 * 596e6 / r.hbm_peak.count());
  const std::uint64_t parameters = 596049920;
  REQUIRE(bytes_of(r, "weights") == 2 * parameters);
  REQUIRE(bytes_of(r, "gradients") == 2 * parameters);
  REQUIRE(bytes_of(r, "optimiser states") == 12 * parameters);
  REQUIRE(bytes_of(r, "activations") > 0);
  REQUIRE(bytes_of(r, "working tensors") >= 2ull * 16384 * 151936);  // the logits
}

TEST_CASE("recomputation trades activations for time, micro batches add up") {
  Bench bench;
  const RunResult none = bench.run({kSmall});
  const RunResult selective = bench.run({kSmall, "workload.training.recomputation=selective"});
  const RunResult full = bench.run({kSmall, "workload.training.recomputation=full"});
  REQUIRE(bytes_of(none, "activations") > bytes_of(selective, "activations"));
  REQUIRE(bytes_of(selective, "activations") > bytes_of(full, "activations"));
  REQUIRE(none.latency < selective.latency);
  REQUIRE(selective.latency < full.latency);
  REQUIRE(seconds_of(none, "recompute") == 0);
  REQUIRE(seconds_of(full, "recompute") > 0.7 * seconds_of(full, "forward") * 0.5);
  REQUIRE(full.hardware_flops_utilisation > full.model_flops_utilisation * 1.1);
  const RunResult two = bench.run({kSmall, "workload.training.micro_batches=2"});
  REQUIRE(two.tokens == 2 * none.tokens);
  REQUIRE(bytes_of(two, "activations") == bytes_of(none, "activations"));
  REQUIRE(seconds_of(two, "forward") == Approx(2 * seconds_of(none, "forward")));
  REQUIRE(seconds_of(two, "optimiser") == Approx(seconds_of(none, "optimiser")));
}

TEST_CASE("a training run writes its phases: summary, CSV, JSON, result, timeline, explanation") {
  Bench bench;
  const RunResult r = bench.run({kSmall});
  const std::string text = summary(r);
  CAPTURE(text);
  for (const char* part : {"training", "trained tokens", "phases", "forward", "backward", "optimiser", "MFU"}) {
    REQUIRE(contains(text, part));
  }
  const std::string csv = operators_csv(r);
  REQUIRE(contains(csv, ",note,phase\n"));
  REQUIRE(contains(csv, "layers_backward,attention_backward,28,attention_backward,"));
  REQUIRE(contains(csv, "optimiser,adamw,1,adamw,"));
  for (const char* phase : {",forward\n", ",backward\n", ",optimiser\n"}) REQUIRE(contains(csv, phase));
  REQUIRE(contains(to_json(r), "\"phases_ms\""));
  const std::optional<RunResult> again = parse_run_result(serialise(r));
  REQUIRE(again);
  REQUIRE(serialise(*again) == serialise(r));
  REQUIRE(again->operators.back().phase == "optimiser");
  REQUIRE(again->hardware_flops_utilisation == r.hardware_flops_utilisation);
  REQUIRE_FALSE(perfetto_trace(r).empty());
  REQUIRE(kernel_spans(r).back().end.count() == Approx(r.latency.count()));
  const PassInput input = make_pass_input(load_scenario(kScenario, {kSmall}), {Evaluator::analytical, {}});
  const ExplanationNode root = explain(input, map_nodes(input), r, bench.evaluators.analytical);
  REQUIRE(root.children.size() == 7);  // embedding, layers, head, their backward, optimiser
}

TEST_CASE("a model that does not fit says what takes the memory") {
  const std::string text = error_of({"model=llama3_8b"});
  CAPTURE(text);
  REQUIRE(contains(text, "does not fit the memory"));
  REQUIRE(contains(text, "biggest: optimiser states 89.75 GiB"));
  REQUIRE(contains(text, "activations"));
}

TEST_CASE("bad training workloads are refused at their fields") {
  REQUIRE(contains(error_of({"workload.training.micro_batches=0"}), "training.micro_batches: must be from 1"));
  REQUIRE(contains(error_of({"workload.formats.weights=fp8_e4m3", "workload.formats.activations=fp8_e4m3"}),
                   "training in fp8_e4m3 is not modelled"));
  REQUIRE(contains(error_of({"workload.formats.activations=fp16"}), "formats.activations: must be bf16"));
  REQUIRE(contains(error_of({"workload.training.gradients=fp16"}), "training.gradients: must be bf16"));
  REQUIRE(contains(error_of({"workload.training.recomputation=most"}), "recomputation"));
}
