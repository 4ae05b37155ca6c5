// SPDX-License-Identifier: Apache-2.0
// A matrix product as its kernels see it: sizes, operand formats as stored, and the format in which the tensor core
// multiplies. Decides which product runs as which: equal formats directly, narrow weights under 16-bit activations
// converted in the kernel, fp32 on the FP32 lanes. Activations that are quantised first are an operator of their own.
#pragma once

#include <cstdint>
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

struct GemmProblem {
  std::string kind = "gemm";
  std::uint64_t batch = 1, m = 0, n = 0, k = 0;
  GemmOperand activation, weight;
  NumberFormat output = NumberFormat::bf16;
  NumberFormat multiply = NumberFormat::bf16;  // operand format of the multiply instruction
  bool bias = false;
  bool on_fp32_lanes = false;  // no tensor-core rate for plain fp32: FFMA instructions

  // The weights are stored narrower than they are multiplied: the kernel converts them on the way.
  [[nodiscard]] bool dequantises() const { return info(weight.format).bits < info(multiply).bits; }
};

// Throw ConfigError when no kernel multiplies the pair of formats (it names those that are), or the GPU has no rate.
GemmProblem gemm_problem(const models::Gemm& op, const hardware::GpuSpec& gpu);
GemmProblem gemm_problem(const models::BatchedGemm& op, const hardware::GpuSpec& gpu);

}  // namespace lightcone::scenarios
