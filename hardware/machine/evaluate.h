// SPDX-License-Identifier: Apache-2.0
// The two evaluators of a tile program on a GPU. Both read the same program and the same GPU description.
#pragma once

#include <optional>
#include <vector>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "sim/observe/kernel_result.h"

namespace lightcone::hardware {

enum class LaunchMode : std::uint8_t { graph, stream };

struct EvaluateOptions {
  LaunchMode launch = LaunchMode::graph;
  bool exact = false;  // cycle only: no sampling
  double sampling_tolerance = 0.01;
  bool timeline = true;  // cycle only: keep utilisation samples
};

// Resident CTAs of this program per SM, limited by threads, registers, shared memory and the CTA slots.
// 0: one CTA alone does not fit.
std::uint32_t occupancy(const TileProgram& program, const SmSpec& sm);

// The GPU with its boost clock raised to the maximum, for a kernel that leaves the tensor cores idle; nothing where the
// kernel multiplies or the clock is the same.
std::optional<GpuSpec> without_tensor_load(const TileProgram& program, const GpuSpec& gpu);

// Closed form: microseconds of host time. `time` is an estimate with latencies, waves and overlap; `bounds` are strict
// lower bounds, so that max(bounds) <= the cycle result.
KernelResult evaluate_analytical(const TileProgram& program, const GpuSpec& gpu, const EvaluateOptions& options = {});

// The live machine on SystemC. One call per process: the SystemC kernel is global (callers fork; see scenarios/run).
KernelResult evaluate_cycle(const TileProgram& program, const GpuSpec& gpu, const EvaluateOptions& options = {});

}  // namespace lightcone::hardware
