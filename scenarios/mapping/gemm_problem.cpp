// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/gemm_problem.h"

#include <fmt/core.h>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using hardware::GpuSpec;
using hardware::Residency;

bool is_fp8(NumberFormat format) { return format == NumberFormat::fp8_e4m3 || format == NumberFormat::fp8_e5m2; }

// The operand format of the multiply: the common one, or the wider of the two, which the kernel converts to.
NumberFormat multiply_format(NumberFormat activation, NumberFormat weight) {
  return info(weight).bits > info(activation).bits ? weight : activation;
}

void choose_arithmetic(GemmProblem& problem, const GpuSpec& gpu) {
  problem.multiply = multiply_format(problem.activation.format, problem.weight.format);
  const bool sixteen_bit = info(problem.activation.format).bits == 16;
  if (sixteen_bit && is_fp8(problem.weight.format) && gpu.sm.tensor.has(problem.weight.format)) {
    problem.multiply = problem.weight.format;
    problem.quantise_activation = true;
  }
  problem.on_fp32_lanes = problem.multiply == NumberFormat::fp32 && !gpu.sm.tensor.has(NumberFormat::fp32);
  if (problem.on_fp32_lanes || gpu.sm.tensor.has(problem.multiply)) return;
  throw ConfigError(
      fmt::format("{} has no tensor-core rate for {} (activations {}, weights {}); formats with a rate: {}", gpu.name,
                  name(problem.multiply), name(problem.activation.format), name(problem.weight.format), [&] {
                    std::string names;
                    for (const auto& [format, rate] : gpu.sm.tensor.flops_per_clock) {
                      if (rate > 0) names += (names.empty() ? "" : ", ") + std::string(name(format));
                    }
                    return names;
                  }()));
}

void check_sizes(const GemmProblem& problem) {
  if (problem.batch == 0 || problem.m == 0 || problem.n == 0 || problem.k == 0) {
    throw ConfigError(fmt::format("{}: a size is zero (batch {}, m {}, n {}, k {})", problem.kind, problem.batch,
                                  problem.m, problem.n, problem.k));
  }
  // Sixteen bytes per element covers fp64 operands and fp32 partial sums.
  checked_product(problem.kind + " activations", {problem.batch, problem.m, problem.k, 16});
  checked_product(problem.kind + " weights", {problem.batch, problem.n, problem.k, 16});
  checked_product(problem.kind + " output", {problem.batch, problem.m, problem.n, 16 * 64});
  checked_product(problem.kind + " FLOPs", {2, problem.batch, problem.m, problem.n, problem.k});
}

}  // namespace

GemmProblem gemm_problem(const models::Gemm& op, const GpuSpec& gpu) {
  GemmProblem problem;
  problem.m = op.m;
  problem.n = op.n;
  problem.k = op.k;
  problem.activation = {op.activation, true, Residency::warm};  // the kernel before wrote them
  problem.weight = {op.weight, true, op.weights_are_static ? Residency::cold : Residency::warm};
  problem.output = op.output;
  problem.bias = op.bias;
  check_sizes(problem);
  choose_arithmetic(problem, gpu);
  return problem;
}

GemmProblem gemm_problem(const models::BatchedGemm& op, const GpuSpec& gpu) {
  GemmProblem problem;
  problem.kind = "bmm";
  problem.batch = op.batch;
  problem.m = op.m;
  problem.n = op.n;
  problem.k = op.k;
  problem.activation = {op.activation, true, Residency::warm};
  problem.weight = {op.weight, false, Residency::warm};  // B[b,k,n]: rows run across k
  problem.output = op.output;
  check_sizes(problem);
  choose_arithmetic(problem, gpu);
  return problem;
}

}  // namespace lightcone::scenarios
