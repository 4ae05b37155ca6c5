// SPDX-License-Identifier: Apache-2.0
// A pass through the real mapping and both real evaluators: child processes, the store, and the files of a run.
#include "catch.h"
#include "hardware/spec/spec_hash.h"
#include "hardware/test_gpus.h"
#include "scenarios/run/explain.h"
#include "scenarios/run/result_io.h"
#include "scenarios/run/run_pass.h"
#include "scenarios/run/summary.h"
#include "scenarios/run/write_run.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

PassInput small_pass(Evaluator fidelity) {
  PassInput input;
  input.scenario = "small";
  input.model = "two_operators";
  input.machine = "h100";
  input.phase = "prefill";
  input.tokens = 512;
  input.gpu = hardware::testing::hopper_like();
  input.gpu_hash = hardware::spec_hash(input.gpu);
  models::Gemm gemm;
  gemm.m = 512;
  gemm.n = 1024;
  gemm.k = 1024;
  models::Norm norm;
  norm.rows = 512;
  norm.columns = 1024;
  input.nodes = {{"up", "layer", 3, gemm}, {"norm", "layer", 3, norm}};
  input.memory = {{"weights", Bytes(2 << 20)}};
  input.evaluation.fidelity = fidelity;
  return input;
}

struct Bench {
  test::TemporaryFolder folder;
  Evaluators evaluators = real_evaluators();
  ProcessPool pool{{2, {}}};
  Progress progress{true};
  RunResult run(Evaluator fidelity, KernelStoreStats* stats = nullptr) {
    KernelStore store({folder.path(), std::chrono::seconds(10), {}});
    RunResult result = run_pass(small_pass(fidelity), ValidationTable(), {evaluators, store, pool, progress});
    if (stats != nullptr) *stats = store.stats();
    return result;
  }
};

}  // namespace

TEST_CASE("a simulated pass comes from the store the second time, byte for byte the same") {
  Bench bench;
  KernelStoreStats first, second;
  const RunResult a = bench.run(Evaluator::cycle, &first);
  const RunResult b = bench.run(Evaluator::cycle, &second);
  REQUIRE(first.stored == a.kernels.size());
  REQUIRE(second.stored == 0);
  REQUIRE(second.hits == a.kernels.size());
  REQUIRE((serialise(a) == serialise(b)));
}

TEST_CASE("no operator beats the peak, and the closed form's time is of the same size") {
  Bench bench;
  const RunResult cycle = bench.run(Evaluator::cycle);
  const RunResult analytical = bench.run(Evaluator::analytical);
  INFO(summary(cycle) << summary(analytical));
  REQUIRE(cycle.model_flops_utilisation > 0);
  REQUIRE(cycle.model_flops_utilisation < 1);
  REQUIRE(cycle.hbm_utilisation < 1);
  REQUIRE(cycle.operators[0].peak_seconds < cycle.operators[0].time.count());
  REQUIRE(analytical.latency / cycle.latency > 0.3);
  REQUIRE(analytical.latency / cycle.latency < 3);
  REQUIRE(cycle.mean_power.count() > 0);
  for (const OperatorRow& row : cycle.operators) {
    double sum = 0;
    for (const double seconds : row.reason_seconds) sum += seconds;
    REQUIRE(sum == Approx(row.time.count()));
  }
}

TEST_CASE("the explanation of a real run finds something that helps") {
  Bench bench;
  const RunResult result = bench.run(Evaluator::cycle);
  const PassInput input = small_pass(Evaluator::cycle);
  const ExplanationNode root = explain(input, map_nodes(input), result, bench.evaluators.analytical);
  INFO(explanation_text(root));
  REQUIRE_FALSE(root.savings.empty());
  for (const Saving& saving : root.savings) REQUIRE(saving.share <= 0.1);
}
