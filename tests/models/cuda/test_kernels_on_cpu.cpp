// SPDX-License-Identifier: Apache-2.0
// Every CUDA kernel run on the CPU, thread by thread through the same template, over the small cases of its primitive:
// against the double-precision reference, and in two orders of the threads, which must not matter.
#include <set>

#include "catch.h"
#include "models/cuda/cases/problem.h"
#include "models/cuda/kernels/all.h"
#include "models/cuda/kernels/host_run.h"
#include "models/cuda/record/compare.h"

using namespace lightcone::models::cuda;

namespace {

constexpr std::uint64_t kSeed = 7;

struct Buffers {
  std::vector<std::vector<unsigned char>> inputs, outputs;
  Arguments arguments;

  // A vector's bytes are aligned to 16, as the kernels need.
  Buffers(const Problem& problem, const Sizes& sizes, const std::vector<Values>& values) {
    arguments.sizes = sizes;
    for (std::size_t i = 0; i < values.size(); ++i) inputs.push_back(pack(problem.inputs[i].element, values[i]));
    for (const OutputSpec& output : problem.outputs) {
      outputs.emplace_back(std::size_t(output.count) * bytes_of(output.element), kPoison);
    }
    for (auto& bytes : inputs) arguments.inputs.push_back(bytes.data());
    for (auto& bytes : outputs) arguments.outputs.push_back(bytes.data());
  }
};

const Primitive<HostRun>& primitive(std::string_view name) {
  static const std::vector<Primitive<HostRun>> list = primitives<HostRun>();
  for (const auto& entry : list) {
    if (entry.name == name) return entry;
  }
  throw std::out_of_range(std::string(name));
}

}  // namespace

TEST_CASE("kernels on the CPU agree with the reference, in either order of their threads") {
  for (const PrimitiveCases& cases : all_cases()) {
    double worst = 0;
    for (const Sizes& sizes : cases.small) {
      INFO(cases.name << " " << text_of(sizes));
      const Problem problem = cases.problem(sizes, kSeed);
      const std::vector<Values> inputs = make_inputs(cases, sizes, kSeed), truth = cases.truth(sizes, inputs);
      REQUIRE(truth.size() == problem.outputs.size());
      Buffers first(problem, sizes, inputs), second(problem, sizes, inputs);
      HostRun ascending(FiberOrder::ascending), descending(FiberOrder::descending);
      primitive(cases.name).run(ascending, first.arguments);
      primitive(cases.name).run(descending, second.arguments);
      for (std::size_t i = 0; i < truth.size(); ++i) {
        const OutputSpec& output = problem.outputs[i];
        INFO(output.name);
        REQUIRE(std::ssize(truth[i]) == output.count);
        const double error = relative_norm(unpack(output.element, first.outputs[i]), truth[i]);
        CHECK(error <= output.tolerance);
        CHECK(first.outputs[i] == second.outputs[i]);
        worst = std::max(worst, error);
      }
    }
    UNSCOPED_INFO(cases.name << ": worst relative error " << worst);
    std::printf("%-24s worst relative error %.2e over %zu shapes\n", std::string(cases.name).c_str(), worst,
                cases.small.size());
  }
}

TEST_CASE("every primitive has cases, and every case a primitive") {
  std::vector<std::string_view> named, with_cases;
  for (const auto& entry : primitives<HostRun>()) named.push_back(entry.name);
  for (const PrimitiveCases& cases : all_cases()) {
    with_cases.push_back(cases.name);
    CHECK_FALSE(cases.small.empty());
    CHECK_FALSE(cases.large.empty());
  }
  REQUIRE(named == with_cases);
  for (const Variant& variant : variants()) CHECK_NOTHROW(cases_of(variant.cases_of));
}
