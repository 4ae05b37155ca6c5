// SPDX-License-Identifier: Apache-2.0
// Memory-bound kernels: elementwise operators. A CTA of 256 threads takes 16 bytes of the widest tensor per thread,
// one CTA per piece. The activation kernels of serving libraries (vLLM act_and_mul) instead run one CTA of up to 1024
// threads per row and load single values in a loop: each turn waits for memory, so they are bound by latency.
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
