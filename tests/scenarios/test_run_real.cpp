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
  RunResult run(Evaluator fidelity, KernelStoreStats* stats = nullptr) { return run(small_pass(fidelity), stats); }
  RunResult run(const PassInput& input, KernelStoreStats* stats = nullptr) {
    KernelStore store({folder.path(), std::chrono::seconds(10), {}});
    RunResult result = run_pass(input, ValidationTable(), {evaluators, store, pool, progress});
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
}

TEST_CASE("reasons: of every SM and cycle one, of every operator those of its kernels and the gaps between them") {
  Bench bench;
  const hardware::GpuSpec gpu = small_pass(Evaluator::cycle).gpu;
  const double sms = gpu.sm_count, gap = gpu.launch.graph_kernel.count();
  const auto launch = static_cast<std::size_t>(CycleReason::launch);
  struct Case {
    Evaluator fidelity;
    double watts;  // the lower limit makes the clock fall below boost
  };
  for (const Case& c : {Case{Evaluator::cycle, 700}, Case{Evaluator::cycle, 150}, Case{Evaluator::analytical, 150}}) {
    PassInput input = small_pass(c.fidelity);
    input.gpu.power.limit = Watts(c.watts);
    input.gpu_hash = hardware::spec_hash(input.gpu);
    const RunResult run = bench.run(input);
    INFO(summary(run));
    REQUIRE((run.mean_clock < run.boost_clock) == (c.watts < 700));
    for (const KernelRow& kernel : run.kernels) {
      const KernelResult& k = kernel.result;
      INFO(k.program);
      // Two counts of one thing: SM cycles by reason, and the cycles of the kernel's clock.
      double sum = 0;
      for (const double cycles : k.reason_cycles) sum += cycles;
      REQUIRE(sum == Approx(sms * k.cycles.real()).epsilon(1e-4));
      REQUIRE(k.time.count() - gap == Approx(duration(k.cycles, k.clock).count()).epsilon(1e-3));
      REQUIRE(k.launch.count() >= gap);
      // More launch time than the kernel's own: the start-up of CTAs comes on top.
      REQUIRE(k.reason_cycles[launch] / sms / k.clock.count() >= 0.98 * (k.launch.count() - gap));
    }
    double all = 0;
    for (const OperatorRow& row : run.operators) {
      INFO(row.name);
      REQUIRE_FALSE(row.kernels.empty());
      for (std::size_t r = 0; r < kCycleReasonCount; ++r) {
        double seconds = r == launch ? gap * static_cast<double>(row.kernels.size()) : 0;
        for (const std::size_t index : row.kernels) {
          const KernelResult& k = run.kernels[index].result;
          seconds += k.reason_cycles[r] / sms / k.clock.count();
        }
        INFO(kCycleReasonNames[r]);
        REQUIRE(row.reason_seconds[r] == Approx(seconds).epsilon(1e-3).margin(1e-10));
        all += row.reason_seconds[r] * static_cast<double>(row.repeat);
      }
    }
    REQUIRE(all == Approx(run.latency.count()));
  }
}

TEST_CASE("MFU counts against the format in which the kernels multiply, whatever the operands are stored in") {
  using F = NumberFormat;
  struct Case {
    F activation, weight, multiply;
  };
  Bench bench;
  for (const Case& c : {Case{F::bf16, F::bf16, F::bf16}, Case{F::bf16, F::fp8_e4m3, F::bf16},
                        Case{F::bf16, F::int4, F::bf16}, Case{F::bf16, F::nvfp4, F::bf16},
                        Case{F::fp8_e4m3, F::fp8_e4m3, F::fp8_e4m3}, Case{F::fp32, F::fp32, F::fp32}}) {
    PassInput input = small_pass(Evaluator::analytical);
    models::Gemm gemm{8192, 8192, 8192, c.activation, c.weight};
    input.nodes = {{"up", "layer", 1, gemm}};
    const RunResult r = bench.run(input);
    INFO(name(c.activation) << " x " << name(c.weight) << "\n" << summary(r));
    REQUIRE(r.operators[0].format == name(c.activation));
    REQUIRE(r.operators[0].multiply_format == name(c.multiply));
    REQUIRE((r.peaks.size() == 1 && r.peaks[0].format == name(c.multiply)));
    const double per_clock =
        c.multiply == F::fp32 ? 2 * input.gpu.sm.fp32_lanes : input.gpu.sm.tensor.flops_per_clock.at(c.multiply);
    const double peak = per_clock * input.gpu.sm_count * input.gpu.clock.boost.count();
    REQUIRE(r.model_flops_utilisation == Approx(2.0 * 8192 * 8192 * 8192 / peak / r.latency.count()));
    REQUIRE(r.model_flops_utilisation < 1);
  }
  // An fp8 cache under bf16 queries: the kernel quantises the queries and multiplies in fp8.
  PassInput input = small_pass(Evaluator::analytical);
  models::Attention attention{1, 32, 8, 4096, 4096, 128};
  attention.kv = F::fp8_e4m3;
  input.nodes = {{"attention", "layer", 1, attention}};
  const RunResult r = bench.run(input);
  REQUIRE((r.operators[0].format == "bf16" && r.operators[0].multiply_format == "fp8_e4m3"));
  REQUIRE(r.model_flops_utilisation < 1);
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
