// SPDX-License-Identifier: Apache-2.0
// The two evaluators read the same programs: the closed form's bounds lie below the cycle machine's time, both count
// the same work, and the closed form's estimate is near. Each simulation runs in a child process (one SystemC kernel
// each).
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "catch.h"
#include "hardware/example_gpus.h"
#include "hardware/machine/evaluate.h"
#include "scenarios/mapping/map_operator.h"

using namespace lightcone;
using namespace lightcone::hardware;
using namespace lightcone::models;

namespace {

struct Simulated {
  double time = 0, clock = 0;
  std::uint64_t mma_executed = 0, mma_useful = 0, l2_read = 0, hbm_read = 0;
};

std::optional<Simulated> simulate(const TileProgram& program, const GpuSpec& gpu) {
  int ends[2];
  if (pipe(ends) != 0) return std::nullopt;
  const pid_t child = fork();
  if (child == 0) {
    const KernelResult r = evaluate_cycle(program, gpu);
    const Simulated out{
        r.time.count(),         r.clock.count(),        r.work.mma_executed.count(), r.work.mma_useful.count(),
        r.work.l2_read.count(), r.work.hbm_read.count()};
    const bool written = write(ends[1], &out, sizeof out) == static_cast<ssize_t>(sizeof out);
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  Simulated in;
  const bool complete = read(ends[0], &in, sizeof in) == static_cast<ssize_t>(sizeof in);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!complete || status != 0) return std::nullopt;
  return in;
}

void compare(const Operator& op, const GpuSpec& gpu) {
  for (const TileProgram& kernel : scenarios::map_operator(op, gpu).kernels) {
    const KernelResult closed = evaluate_analytical(kernel, gpu);
    const std::optional<Simulated> cycle = simulate(kernel, gpu);
    INFO(gpu.name << " " << kernel.name << ": closed form " << closed.time.count() * 1e6 << " us");
    REQUIRE(cycle);
    const ResourceBounds& b = closed.bounds;
    for (const Seconds bound : {b.tensor, b.fp32, b.sfu, b.issue, b.shared, b.l2, b.hbm, b.launch}) {
      REQUIRE(bound.count() <= cycle->time);
    }
    REQUIRE(closed.work.mma_executed.count() == cycle->mma_executed);
    REQUIRE(closed.work.mma_useful.count() == cycle->mma_useful);
    const double ratio = closed.time.count() / cycle->time;
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
