// SPDX-License-Identifier: Apache-2.0
// A matrix product as its kernels see it: sizes, operand formats as stored, and the format in which the tensor core
// multiplies. Decides which product runs as which: equal formats directly, narrow weights under 16-bit activations
// converted in the kernel, fp32 on the FP32 lanes. Activations that are quantised first are an operator of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

struct GemmOperand {
  NumberFormat format = NumberFormat::bf16;  // as stored
  bool k_contiguous = true;                  // rows of the stored matrix run along k (else across it)
  hardware::Residency residency = hardware::Residency::cold;
};

// Which part of a grouped product (one matrix of weights per expert, rows of all experts in shared matrices) a batch
// of equal products is: `matrices` and `rows` there are in all, and the batch starts at those named `first`. From one
// product to the next the output moves on by the product's m rows, the activations by `source_stride` of their
// `source_rows` (less than m where experts read the same rows).
struct MatrixGroup {
  std::uint64_t matrices = 0, first_matrix = 0;
  std::uint64_t rows = 0, first_row = 0;
  std::uint64_t source_rows = 0, first_source_row = 0, source_stride = 0;
  // The gradient of the weights: k runs along an expert's rows of both operands, the output is its matrix.
  bool weight_gradient = false;
};

struct GemmProblem {
  std::string kind = "gemm";
  std::uint64_t batch = 1, m = 0, n = 0, k = 0;
  GemmOperand activation, weight;
  NumberFormat output = NumberFormat::bf16;
  NumberFormat multiply = NumberFormat::bf16;  // operand format of the multiply instruction
  bool bias = false;
  bool accumulates = false;    // C += ...: the epilogue reads C, in the format of the output
  bool on_fp32_lanes = false;  // no tensor-core rate for plain fp32: FFMA instructions
  bool block_scaled = false;   // scales per 128 values along k: partial sums of each such block are scaled and added up
  std::optional<MatrixGroup> group;

  // The weights are stored narrower than they are multiplied: the kernel converts them on the way.
  [[nodiscard]] bool dequantises() const { return info(weight.format).bits < info(multiply).bits; }
};

// Throw ConfigError when no kernel multiplies the pair of formats (it names those that are), or the GPU has no rate.
GemmProblem gemm_problem(const models::Gemm& op, const hardware::GpuSpec& gpu);
GemmProblem gemm_problem(const models::BatchedGemm& op, const hardware::GpuSpec& gpu);
// The products of the `experts` experts that have `rows` rows each. group: for the caller to fill.
GemmProblem gemm_problem(const models::GroupedGemm& op, std::uint64_t experts, std::uint64_t rows,
                         const hardware::GpuSpec& gpu);
// The same of the gradients of the weights.
GemmProblem gemm_problem(const models::Backward<models::GroupedGemm>& op, std::uint64_t experts, std::uint64_t rows,
                         const hardware::GpuSpec& gpu);

}  // namespace lightcone::scenarios
