// SPDX-License-Identifier: Apache-2.0
// Elementwise operators. Additions and ungated activations are PyTorch's vectorised kernel (128 threads of four
// elements); quantisation is the server's own, 256 threads of 16 bytes. The activation kernels of serving libraries
// (vLLM act_and_mul) instead run one CTA of up to 1024 threads per row and load single values in a loop: each turn
// waits for memory and for a long chain of arithmetic.
#pragma once

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// Whether `library` implements this kind with 16-byte accesses.
bool is_vectorised(models::ElementwiseKind kind, KernelLibrary library);

hardware::TileProgram elementwise_program(const models::Elementwise& op, const hardware::GpuSpec& gpu,
                                          KernelLibrary library);

}  // namespace lightcone::scenarios
