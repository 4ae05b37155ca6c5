// SPDX-License-Identifier: Apache-2.0
// Short causal convolutions of each channel by itself (Mamba, Gated DeltaNet, KDA), as three kernels:
//   causal-conv1d's CUDA kernel, one CTA per channel of a sequence (TensorRT-LLM; sglang on Ampere);
//   the Triton kernel of vLLM and sglang, a CTA per 8 tokens of 256 channels, which goes token by token;
//   the update of one decode step, a CTA per 256 channels of a sequence.
#pragma once

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// Throws ConfigError when a size is zero or the grid exceeds 2^32 CTAs.
hardware::TileProgram causal_conv_program(const models::CausalConv& op, const hardware::GpuSpec& gpu,
                                          KernelLibrary library);

}  // namespace lightcone::scenarios
