// SPDX-License-Identifier: Apache-2.0
// Linear attention and the delta rules as the kernels of their libraries: one token by a fused recurrent step whose
// state is read and written (fla, sglang), RWKV-7 by its CUDA kernel, which goes token by token, and chunked forms of
// several kernels with their intermediates in memory.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// Kernels in launch order. Throws ConfigError when a size is zero, heads do not divide, or the grid exceeds 2^32 CTAs.
std::vector<hardware::TileProgram> linear_attention_programs(const models::LinearAttention& op,
                                                             const hardware::GpuSpec& gpu, KernelLibrary library);

// One token of every sequence: a CTA of one warp per 32 value columns of a head.
hardware::TileProgram recurrent_step_program(const models::LinearAttention& op);

// Token by token with the state in registers, a CTA per head of a sequence (RWKV-v7/train_temp/cuda/wkv7_cuda.cu).
hardware::TileProgram recurrent_serial_program(const models::LinearAttention& op);

}  // namespace lightcone::scenarios
