// SPDX-License-Identifier: Apache-2.0
// The tile program of one GEMM plan on one generation of tensor cores.
#pragma once

#include "scenarios/mapping/gemm_tiles.h"

namespace lightcone::scenarios {

// Hopper (CUTLASS warp-specialised, cooperative): a persistent grid; one producer warp feeds a ring of shared-memory
// stages by TMA, one to three consumer warpgroups multiply their rows and release each stage one step late, so that
// two wgmma are always queued. The producer runs ahead into the next tile while the consumers store this one.
hardware::TileProgram gemm_wgmma(const GemmProblem& problem, const GemmPlan& plan, const hardware::GpuSpec& gpu);

// Blackwell: as Hopper, but one warp issues the products, accumulators wait in tensor memory, and four other warps
// store them, so that the epilogue overlaps the next tile.
hardware::TileProgram gemm_tcgen05(const GemmProblem& problem, const GemmPlan& plan, const hardware::GpuSpec& gpu);

// Ampere (CUTLASS multistage): one CTA per tile, its warps copy with cp.async some stages ahead and multiply what has
// landed; the epilogue goes through shared memory and overlaps nothing of its own CTA. With the FP32 lanes in place
// of tensor cores this is also the FFMA kernel.
hardware::TileProgram gemm_multistage(const GemmProblem& problem, const GemmPlan& plan, const hardware::GpuSpec& gpu);

// The kernel of `plan` and, with split k, the reduction after it.
std::vector<hardware::TileProgram> gemm_program(const GemmProblem& problem, const GemmPlan& plan,
                                                const hardware::GpuSpec& gpu);

}  // namespace lightcone::scenarios
