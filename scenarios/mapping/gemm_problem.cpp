// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/gemm_problem.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using hardware::GpuSpec;
using hardware::Residency;

constexpr std::array kWide{NumberFormat::bf16, NumberFormat::fp16};
constexpr std::array kFp8{NumberFormat::fp8_e4m3, NumberFormat::fp8_e5m2};
// What weight-only kernels convert to 16 bits in registers: Marlin (vLLM) and fpA_intB (TensorRT-LLM).
constexpr std::array kWeightOnly{NumberFormat::int8,     NumberFormat::int4,  NumberFormat::fp8_e4m3,
                                 NumberFormat::fp8_e5m2, NumberFormat::mxfp4, NumberFormat::nvfp4};

template <std::size_t N>
bool is_one_of(const std::array<NumberFormat, N>& formats, NumberFormat format) {
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

// The operand format of the multiply, for the pairs that have kernels.
std::optional<NumberFormat> multiply_format(NumberFormat activation, NumberFormat weight) {
  if (activation == weight) return activation;
  if (is_one_of(kWide, activation) && is_one_of(kWeightOnly, weight)) return activation;
  if (is_one_of(kFp8, activation) && is_one_of(kFp8, weight)) return activation;  // one rate for every pair of them
  return std::nullopt;
}

std::string allowed_pairs() {
  std::string weights;
  for (const NumberFormat format : kWeightOnly) weights += (weights.empty() ? "" : ", ") + std::string(name(format));
  return "the same format for both; bf16 or fp16 activations with weights in " + weights +
         " (converted in the kernel); any two of fp8_e4m3 and fp8_e5m2. For a product of narrow numbers "
         "(W8A8) give the activations the format of the weights";
}

void choose_arithmetic(GemmProblem& problem, const GpuSpec& gpu) {
  const auto multiply = multiply_format(problem.activation.format, problem.weight.format);
  if (!multiply) {
    throw ConfigError(fmt::format("no kernel multiplies {} activations by {} weights; allowed: {}",
                                  name(problem.activation.format), name(problem.weight.format), allowed_pairs()));
  }
  problem.multiply = *multiply;
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
  // The gradient of a weight multiplies by what the forward pass saved long before.
  const bool saved = op.activation_transposed && op.weight_transposed;
  problem.activation = {op.activation, !op.activation_transposed, Residency::warm};  // the kernel before wrote them
  problem.weight = {op.weight, !op.weight_transposed,
                    op.weights_are_static || saved ? Residency::cold : Residency::warm};
  problem.output = op.output;
  problem.bias = op.bias;
  problem.accumulates = op.accumulates;
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
  problem.activation = {op.activation, !op.activation_transposed, Residency::warm};
  problem.accumulates = op.accumulates;
  problem.weight = {op.weight, op.weight_transposed,
                    op.weights_are_static ? Residency::cold : Residency::warm};  // B[b,k,n]: rows run across k
  problem.output = op.output;
  check_sizes(problem);
  choose_arithmetic(problem, gpu);
  return problem;
}

GemmProblem gemm_problem(const models::GroupedGemm& op, std::uint64_t experts, std::uint64_t rows, const GpuSpec& gpu) {
  GemmProblem problem;
  problem.kind = "grouped_gemm";
  problem.block_scaled = op.block_scaled;
  problem.batch = experts;
  problem.m = rows;
  problem.n = op.n;
  problem.k = op.k;
  problem.activation = {op.activation, true, Residency::warm};
  problem.weight = {op.weight, !op.weight_transposed, Residency::cold};
  problem.output = op.output;
  problem.bias = op.bias;
  check_sizes(problem);
  choose_arithmetic(problem, gpu);
  return problem;
}

GemmProblem gemm_problem(const models::Backward<models::GroupedGemm>& op, std::uint64_t experts, std::uint64_t rows,
                         const GpuSpec& gpu) {
  const models::GroupedGemm& forward = op.forward;
  GemmProblem problem;
  problem.kind = "grouped_gemm_wgrad";
  problem.batch = experts;
  problem.m = forward.n;
  problem.n = forward.k;
  problem.k = rows;
  problem.activation = {forward.output, false, Residency::warm};
  problem.weight = {forward.activation, false, Residency::cold};
  problem.output = op.weight_gradient;
  problem.accumulates = op.accumulates;
  check_sizes(problem);
  choose_arithmetic(problem, gpu);
  return problem;
}

}  // namespace lightcone::scenarios
