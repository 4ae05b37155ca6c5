// SPDX-License-Identifier: Apache-2.0
// The two evaluators read the same programs: the closed form's bounds lie below the cycle machine's time, both count
// the same work, and the closed form's estimate is near.
#include <fmt/core.h>

#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "catch.h"
#include "hardware/example_gpus.h"
#include "hardware/simulated.h"
#include "hardware/spec/load.h"
#include "scenarios/mapping/map_operator.h"

using namespace lightcone;
using namespace lightcone::hardware;
using namespace lightcone::models;

namespace {

void compare(const Operator& op, const GpuSpec& gpu) {
  for (const TileProgram& kernel : scenarios::map_operator(op, gpu).kernels) {
    const KernelResult closed = evaluate_analytical(kernel, gpu);
    const std::optional<KernelResult> cycle = testing::simulate(kernel, gpu);
    INFO(gpu.name << " " << kernel.name << ": closed form " << closed.time.count() * 1e6 << " us");
    REQUIRE(cycle);
    const ResourceBounds& b = closed.bounds;
    for (const Seconds bound : {b.tensor, b.fp32, b.sfu, b.issue, b.shared, b.l2, b.hbm, b.launch}) {
      REQUIRE(bound <= cycle->time);
    }
    REQUIRE(closed.work.mma_executed == cycle->work.mma_executed);
    REQUIRE(closed.work.mma_useful == cycle->work.mma_useful);
    const double ratio = closed.time / cycle->time;
    REQUIRE(ratio > 0.5);
    REQUIRE(ratio < 1.5);
  }
}

// Where the SMs' cycles went, for messages.
std::string shares(const KernelResult& result) {
  const double sum = std::accumulate(result.reason_cycles.begin(), result.reason_cycles.end(), 0.0);
  std::string text = result.evaluator == Evaluator::cycle ? "cycle: " : "closed form: ";
  for (std::size_t r = 0; r < kCycleReasonCount; ++r) {
    text += fmt::format(" {} {:.1f} %", kCycleReasonNames[r], 100 * result.reason_cycles[r] / sum);
  }
  return text;
}

}  // namespace

TEST_CASE("small and ragged GEMMs: bounds below the cycle machine, same FLOPs") {
  for (const GpuSpec& gpu : {example_h100(), example_a100()}) {
    compare(Gemm{512, 512, 512}, gpu);
    compare(Gemm{333, 1111, 777}, gpu);
  }
}

TEST_CASE("weight streaming: bounds below the cycle machine, same FLOPs") {
  for (const GpuSpec& gpu : {example_h100(), example_a100()}) compare(Gemm{8, 4096, 4096}, gpu);
}

TEST_CASE("attention, causal prefill and decode: bounds below the cycle machine, same FLOPs") {
  for (const GpuSpec& gpu : {example_h100(), example_a100()}) {
    compare(Attention{1, 8, 2, 1024, 1024, 128}, gpu);
    compare(Attention{8, 32, 8, 1, 1024, 128}, gpu);
  }
}

TEST_CASE("both evaluators name the same reason for the time of typical kernels") {
  struct Typical {
    const char* name;
    Operator op;
  };
  const std::vector<Typical> typical{
      {"large GEMM", Gemm{4096, 4096, 4096}},
      {"long GEMM", Gemm{2048, 1024, 8192}},
      {"GEMM of one small tile row", Gemm{64, 4096, 4096}},
      {"skinny GEMM", Gemm{1, 8192, 8192}},
      {"GEMM of a decode step", Gemm{32, 28672, 4096}},
      {"causal prefill", Attention{2, 32, 8, 2048, 2048, 128}},
      {"decode over a long context", Attention{32, 32, 8, 1, 4096, 128}},
      {"decode of one sequence", Attention{1, 32, 8, 1, 2048, 128}},
      {"RMSNorm", Norm{NormKind::rms, 8192, 8192}},
      {"copy", Elementwise{ElementwiseKind::copy, 1ull << 26}},
      {"addition of little", Elementwise{ElementwiseKind::add, 1 << 16}},
  };
  // On A100 the two part where a padded product of few rows runs beside HBM: the cycle machine books a cycle in which
  // both work to the tensor core (38 % against 36 % for one row), the closed form to what bounds.
  const GpuSpec gpu = load_machine("h100_sxm").gpu;
  for (const Typical& t : typical) {
    const TileProgram kernel = scenarios::map_operator(t.op, gpu).kernels.front();
    const KernelResult closed = evaluate_analytical(kernel, gpu);
    const std::optional<KernelResult> cycle = testing::simulate(kernel, gpu);
    REQUIRE(cycle);
    INFO(t.name << ", " << kernel.name << "\n" << shares(closed) << "\n" << shares(*cycle));
    REQUIRE(closed.top_reason() == cycle->top_reason());
  }
}

TEST_CASE("row and element kernels: bounds below the cycle machine") {
  for (const GpuSpec& gpu : {example_h100(), example_a100()}) {
    compare(Norm{NormKind::rms, 1024, 4096}, gpu);
    compare(Elementwise{ElementwiseKind::silu_mul, 1024 * 4096}, gpu);
  }
}

TEST_CASE("matrix instructions hold the special-function lanes back, and nothing else") {
  GpuSpec free = example_h100(), held = example_h100();
  held.sm.tensor.special_hold = 1;
  const Attention prefill{1, 32, 32, 2048, 2048, 64, false};
  const TileProgram kernel = scenarios::map_operator(prefill, free).kernels.front();
  const KernelResult fast = evaluate_analytical(kernel, free), slow = evaluate_analytical(kernel, held);
  const auto fast_cycle = testing::simulate(kernel, free);
  const auto slow_cycle = testing::simulate(kernel, held);
  REQUIRE((fast_cycle && slow_cycle));
  // Then products and exponentials take turns: neither evaluator is faster than their sum.
  const double flops = static_cast<double>(slow.work.mma_executed.count());
  const double cycles = flops / held.sm.tensor.flops_per_clock.at(NumberFormat::bf16) +
                        static_cast<double>(slow.work.sfu_ops) / held.sm.sfu_lanes;
  const double sum = cycles / held.sm_count / held.clock.boost.count();
  REQUIRE(slow.time.count() > sum);
  REQUIRE(slow_cycle->time.count() > sum);
  REQUIRE(slow.time.count() > 1.15 * fast.time.count());
  REQUIRE(slow_cycle->time.count() > 1.15 * fast_cycle->time.count());

  const TileProgram gemm = scenarios::map_operator(Gemm{2048, 2048, 2048}, free).kernels.front();
  REQUIRE(evaluate_analytical(gemm, held).time.count() == evaluate_analytical(gemm, free).time.count());
  REQUIRE(testing::simulate(gemm, held)->time.count() == testing::simulate(gemm, free)->time.count());
}
