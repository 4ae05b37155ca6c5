// SPDX-License-Identifier: Apache-2.0
// Many collectives, each evaluated once, as evaluate_kernels.h does it with kernels: folded by content hash, known ones
// from the kernel store, the rest in child processes (cycle) or here (analytical).
#pragma once

#include <string>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/gpu_spec.h"
#include "scenarios/run/evaluate_kernels.h"

namespace lightcone::scenarios {

// A collective as one GPU sees it, among its kernels: start, the rest waiting for messages, its share of the links'
// energy, what it moves to and from its own memory.
KernelResult as_kernel(const MessageResult& messages, std::size_t gpus, const hardware::GpuSpec& gpu);

// One entry per program, in order. `fabric_hash`: hash of every number of the fabric. Throws Interrupted.
std::vector<EvaluatedKernel> evaluate_messages(const std::vector<hardware::MessageProgram>& programs,
                                               const hardware::MachineGraph& graph, const std::string& fabric_hash,
                                               const hardware::GpuSpec& gpu, const EvaluationSettings& settings,
                                               const Workbench& bench);

}  // namespace lightcone::scenarios
