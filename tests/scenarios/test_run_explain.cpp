// SPDX-License-Identifier: Apache-2.0
// The explanation tree, with a stand-in closed form in which every kernel is bound by one known resource.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "scenarios/run/explain.h"
#include "scenarios/run_values.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

// gemm_a: half of the time tensor cores, half fixed. norm_bb: HBM alone. In other units than the run's.
KernelResult closed_form(const hardware::TileProgram& program, const hardware::GpuSpec& gpu,
                         const hardware::EvaluateOptions&) {
  KernelResult r;
  r.time = program.name == "gemm_a" ? Seconds(1000 / gpu.sm.tensor.flops_per_clock.at(NumberFormat::bf16) + 1)
                                    : Seconds(3 / gpu.hbm.gigabits_per_second_per_pin);
  return r;
}

struct Explained {
  test::Example e = test::example();
  RunResult result;
  Explained() {
    for (auto* kernel : {&e.kernels[0], &e.kernels[3]}) kernel->hash = content_hash(e.mapped[0].sequence.kernels[0]);
    for (auto* kernel : {&e.kernels[1], &e.kernels[2]}) kernel->hash = content_hash(e.mapped[1].sequence.kernels[0]);
    result = test::summarised(e);
  }
};

}  // namespace

TEST_CASE("savings are the closed form's ratio times the run's time, summed over executions") {
  const Explained x;
  const ExplanationNode root = explain(x.e.input, x.e.mapped, x.result, closed_form);
  REQUIRE(root.time.count() == Approx(580e-6));
  REQUIRE(root.savings.size() == 2);
  const double gemm = 0.5 * (1 - 1 / 1.1), norm = 1 - 1 / 1.1;
  REQUIRE(root.savings[0].resource == "tensor cores");
  REQUIRE(root.savings[0].saved.count() == Approx(500e-6 * gemm));
  REQUIRE(root.savings[1].resource == "HBM bandwidth");
  REQUIRE(root.savings[1].saved.count() == Approx(80e-6 * norm));
  REQUIRE(root.savings[1].share == Approx(80.0 / 580 * norm));
}

TEST_CASE("the tree has sections in order and operators by time, and each level sums to the one above") {
  const Explained x;
  const ExplanationNode root = explain(x.e.input, x.e.mapped, x.result, closed_form);
  REQUIRE(root.children.size() == 2);
  REQUIRE(root.children[0].name == "layer");
  REQUIRE(root.children[0].children[0].name == "up");
  REQUIRE(root.children[0].children[1].name == "norm");
  double sections = 0;
  for (const ExplanationNode& section : root.children) {
    sections += section.time.count();
    double operators = 0;
    for (const ExplanationNode& leaf : section.children) operators += leaf.time.count();
    REQUIRE(operators == Approx(section.time.count()));
  }
  REQUIRE(sections == Approx(root.time.count()));
  const ExplanationNode& norm = root.children[0].children[1];
  REQUIRE(norm.savings.size() == 1);
  REQUIRE(norm.savings[0].resource == "HBM bandwidth");
}

TEST_CASE("the text names what limits and what would help, the JSON says the same") {
  const Explained x;
  const ExplanationNode root = explain(x.e.input, x.e.mapped, x.result, closed_form);
  const std::string text = explanation_text(root);
  INFO(text);
  REQUIRE(text.find("up (gemm) x 4: tensor cores busy 72 %, waiting for HBM 18 %") != std::string::npos);
  REQUIRE(text.find("10 % better saves: tensor cores 4.5 %\n") != std::string::npos);
  REQUIRE(text.find("What would help next") != std::string::npos);
  REQUIRE(explanation_text(root, 0.5).find("1 more operator\n") != std::string::npos);
  // HBM saves 1.3 %: too little to be called a limit.
  REQUIRE(text.find("limited by: tensor cores (10 % better saves 3.9 %); 9.1 % would be") != std::string::npos);
  ExplanationNode other = root;
  other.savings[1].share = 0.03;
  REQUIRE(explanation_text(other).find("saves 3.9 %), then HBM bandwidth (10 % better saves 3.0 %);") !=
          std::string::npos);
  other.savings = {{"clock", Seconds(1e-6), 0.01}};
  REQUIRE(explanation_text(other).find("limited by: no single resource") != std::string::npos);
  const auto json = nlohmann::json::parse(explanation_json(root));
  REQUIRE(json["children"][0]["children"][0]["with_10_percent_more"][0]["resource"] == "tensor cores");
  REQUIRE(json["resources"].size() == resource_changes().size());
}

TEST_CASE("a run of other kernels than the scenario maps to now is refused") {
  Explained x;
  x.result.kernels[0].hash = "another";
  REQUIRE_THROWS_AS(explain(x.e.input, x.e.mapped, x.result, closed_form), ConfigError);
}

TEST_CASE("a higher clock moves the maximum with it and keeps the law of the voltage") {
  hardware::GpuSpec gpu = test::small_gpu();
  gpu.clock.maximum = Hertz(1.2e9);
  const auto& changes = resource_changes();
  const auto clock = std::find_if(changes.begin(), changes.end(), [](const auto& c) { return c.name == "clock"; });
  REQUIRE(clock != changes.end());
  hardware::GpuSpec after = gpu;
  clock->apply(after);
  REQUIRE(after.clock.boost.count() == Approx(1.1e9));
  REQUIRE(after.clock.maximum.count() == Approx(1.32e9));
  REQUIRE(after.power.reference == gpu.power.reference);
  REQUIRE(after.power.tensor_pj_per_flop == gpu.power.tensor_pj_per_flop);
}

TEST_CASE("every resource change changes the GPU, and only for the better") {
  hardware::GpuSpec gpu = test::small_gpu();
  gpu.noc.request_latency = Cycles(100);
  gpu.launch.graph_kernel = Seconds(1e-6);
  gpu.power.limit = Watts(700);
  for (const ResourceChange& change : resource_changes()) {
    hardware::GpuSpec after = gpu;
    change.apply(after);
    INFO(change.name);
    const bool better =
        after.sm.tensor.flops_per_clock != gpu.sm.tensor.flops_per_clock || after.sm.fp32_lanes > gpu.sm.fp32_lanes ||
        after.sm.sfu_lanes > gpu.sm.sfu_lanes || after.sm.shared_bytes_per_clock > gpu.sm.shared_bytes_per_clock ||
        after.l2.slice_bytes_per_clock > gpu.l2.slice_bytes_per_clock || after.hbm.peak() > gpu.hbm.peak() ||
        after.noc.request_latency < gpu.noc.request_latency || after.launch.graph_kernel < gpu.launch.graph_kernel ||
        after.clock.boost > gpu.clock.boost || after.power.limit > gpu.power.limit;
    REQUIRE(better);
  }
}
