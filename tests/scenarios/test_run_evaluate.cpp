// SPDX-License-Identifier: Apache-2.0
// evaluate_kernels with stand-in evaluators that record or misbehave.
#include <csignal>

#include "catch.h"
#include "scenarios/run_values.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

KernelResult by_size(const hardware::TileProgram& program, const hardware::GpuSpec&, const hardware::EvaluateOptions&) {
  if (program.name == "crashes") raise(SIGABRT);
  if (program.name == "throws") throw RunError("no such thing");
  KernelResult r;
  r.program = program.name;
  r.time = Seconds(static_cast<double>(program.name.size()));
  return r;
}

struct Bench {
  test::TemporaryFolder folder;
  KernelStore store{{folder.path(), std::chrono::seconds(10), {}}};
  ProcessPool pool{{2, {}}};
  Progress progress{true};
  Evaluators evaluators{by_size, by_size};
  std::vector<EvaluatedKernel> run(const std::vector<std::string>& names, Evaluator fidelity = Evaluator::cycle,
                                   const std::string& gpu_hash = "gpu") {
    std::vector<hardware::TileProgram> programs;
    for (const std::string& name : names) programs.push_back(test::named_program(name));
    return evaluate_kernels(programs, test::small_gpu(), gpu_hash, {fidelity, {}}, {evaluators, store, pool, progress});
  }
};

}  // namespace

TEST_CASE("equal programs are simulated once, and never again with a store") {
  Bench bench;
  const auto first = bench.run({"a", "bb", "a", "a", "bb"});
  REQUIRE(first.size() == 5);
  REQUIRE(first[2].result.time == Seconds(1));
  REQUIRE(first[4].result.time == Seconds(2));
  REQUIRE(bench.store.stats().stored == 2);
  REQUIRE_FALSE(first[0].from_store);
  bench.evaluators.cycle = [](const auto& program, const auto&, const auto&) -> KernelResult {
    throw RunError("simulated again: " + program.name);
  };
  const auto second = bench.run({"bb", "a"});
  REQUIRE(second[0].error.empty());
  REQUIRE(second[0].from_store);
  REQUIRE(second[0].result.time == Seconds(2));
  REQUIRE(bench.run({"a"}, Evaluator::cycle, "another gpu")[0].error == "simulated again: a");
}

TEST_CASE("a kernel that crashes its process costs itself alone") {
  Bench bench;
  const auto kernels = bench.run({"ok", "crashes", "throws", "fine"});
  REQUIRE(kernels[0].error.empty());
  REQUIRE(kernels[1].error.find("Aborted") != std::string::npos);
  REQUIRE(kernels[2].error == "no such thing");
  REQUIRE(kernels[3].result.time == Seconds(4));
  REQUIRE(bench.store.stats().stored == 2);
}

TEST_CASE("analytical kernels run here and are not stored") {
  Bench bench;
  const pid_t here = getpid();
  bench.evaluators.analytical = [here](const auto&, const auto&, const auto&) -> KernelResult {
    if (getpid() != here) throw RunError("in a child");
    return {};
  };
  const auto kernels = bench.run({"a", "b2"}, Evaluator::analytical);
  REQUIRE(kernels[0].error.empty());
  REQUIRE(bench.store.stats().stored == 0);
}

TEST_CASE("the progress line tells how much is done and what is left") {
  REQUIRE(progress_line("kernels", 5, 10, 0, 30) == "[############............]  50 % 5/10 kernels, 30 s left");
  REQUIRE(progress_line("kernels", 1, 100, 1, 3) ==
          "[........................]   1 % 1/100 kernels, 1 failed, 4 min 57 s left");
  REQUIRE(progress_line("kernels", 10, 10, 0, 30) == "[########################] 100 % 10/10 kernels");
}
