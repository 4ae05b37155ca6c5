// SPDX-License-Identifier: Apache-2.0
// Shipped scenarios, run in closed form: sizes, memory, sweeps.
#include "catch.h"
#include "scenarios/load/expand_sweep.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/run/result_io.h"
#include "scenarios/sweep/run_sweep.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

struct Bench {
  test::TemporaryFolder folder;
  Evaluators evaluators = real_evaluators();
  KernelStore store{{folder.path(), std::chrono::seconds(10), {}}};
  ProcessPool pool{{2, {}}};
  Progress progress{true};
  RunResult run(const std::string& name, const std::vector<std::string>& sets = {}) {
    return run(load_scenario(name, sets));
  }
  RunResult run(const Scenario& scenario) {
    return run_pass(make_pass_input(scenario, {Evaluator::analytical, {}}), ValidationTable(),
                    {evaluators, store, pool, progress});
  }
};

double matrix_flops(const RunResult& r) {
  double sum = 0;
  for (const OperatorRow& row : r.operators) sum += row.matrix_flops.real() * static_cast<double>(row.repeat);
  return sum;
}

const MemoryOwner& owner(const RunResult& r, const std::string& name) {
  for (const MemoryOwner& entry : r.memory) {
    if (entry.name == name) return entry;
  }
  throw std::out_of_range(name);
}

}  // namespace

TEST_CASE("a prefill of Llama 3 8B has the FLOPs, the memory and a latency of its size") {
  Bench bench;
  const RunResult r = bench.run("llama3_8b_h100");
  REQUIRE(r.phase == "prefill");
  REQUIRE(r.tokens == 4096);
  // 2 FLOPs per token and matrix parameter of the layers (6.98e9), causal attention, the LM head for the last token.
  const double layers = 2.0 * 4096 * 32 * (4096.0 * 6144 + 4096.0 * 4096 + 3 * 4096.0 * 14336);
  const double attention = 32 * 32 * 4.0 * 128 * (4096.0 * 4097 / 2);
  REQUIRE(matrix_flops(r) == Approx(layers + attention + 2 * 4096.0 * 128256).epsilon(1e-6));
  REQUIRE(owner(r, "weights").bytes == Bytes(2 * 8030261248));
  REQUIRE(owner(r, "KV cache").bytes == Bytes(4096ull * 32 * 2 * 8 * 128 * 2));
  REQUIRE(owner(r, "activations").bytes >= Bytes(4096ull * (4096 + 28672) * 2));
  REQUIRE(r.latency.count() > 0.058);  // peak: 64 TFLOP at 989 TFLOP/s
  REQUIRE(r.latency.count() < 0.3);
  REQUIRE(r.model_flops_utilisation < 1);
  REQUIRE_FALSE(r.provenance.calibrated.empty());
}

TEST_CASE("a decode step reads every weight: it cannot be faster than HBM") {
  Bench bench;
  const RunResult r = bench.run("llama3_8b_decode_h100");
  REQUIRE(r.tokens == 32);
  const double bytes = 2 * 7.5e9 + owner(r, "KV cache").bytes.real();
  REQUIRE(r.latency.count() > bytes / r.hbm_peak.count());
  REQUIRE(r.latency.count() < 4 * bytes / r.hbm_peak.count());
}

TEST_CASE("a batch that does not fit is refused with owners and bytes over") {
  Bench bench;
  try {
    bench.run("llama3_8b_decode_h100", {"workload.decode.batch=4096"});
    FAIL("no error");
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    INFO(text);
    REQUIRE(text.find("does not fit the memory") != std::string::npos);
    REQUIRE(text.find("biggest: KV cache") != std::string::npos);
    REQUIRE(text.find("over") != std::string::npos);
  }
}

TEST_CASE("more HBM stacks never slow a decode step, and a second sweep computes nothing") {
  Bench bench;
  const auto points = expand_sweep("hbm_stacks_sweep", {});
  SweepStore store(bench.folder.path(), [](const std::string&) {});
  std::vector<SweepPoint> identities;
  for (const ScenarioPoint& point : points) identities.push_back({point.assignments, point.scenario.resolved_text});
  const auto sweep = [&] {
    return run_sweep(
        identities, [&](std::size_t i) { return bench.run(points[i].scenario); }, store, bench.pool, bench.progress);
  };
  const auto rows = sweep();
  REQUIRE(rows.size() == 5);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    INFO(rows[i].outcome.error);
    REQUIRE(rows[i].outcome.result);
    if (i > 0) REQUIRE(rows[i].outcome.result->latency <= rows[i - 1].outcome.result->latency);
  }
  for (const SweepRow& row : sweep()) REQUIRE_FALSE(row.computed);
}
