// SPDX-License-Identifier: Apache-2.0
// The two evaluators read the same programs: the closed form's bounds lie below the cycle machine's time, both count
// the same work, and the closed form's estimate is near.
#include <optional>

#include "catch.h"
#include "hardware/example_gpus.h"
#include "hardware/simulated.h"
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

TEST_CASE("row and element kernels: bounds below the cycle machine") {
  for (const GpuSpec& gpu : {example_h100(), example_a100()}) {
    compare(Norm{NormKind::rms, 1024, 4096}, gpu);
    compare(Elementwise{ElementwiseKind::silu_mul, 1024 * 4096}, gpu);
  }
}
