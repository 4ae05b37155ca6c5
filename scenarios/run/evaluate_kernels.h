// SPDX-License-Identifier: Apache-2.0
// Many kernels, each evaluated once: equal programs are folded by content hash, known ones come from the kernel store,
// the rest are simulated in child processes (cycle) or here (analytical: microseconds each, not worth a store).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hardware/machine/evaluate.h"
#include "hardware/program/message_program.h"
#include "scenarios/run/kernel_store.h"
#include "scenarios/run/process_pool.h"
#include "scenarios/run/progress.h"

namespace lightcone::hardware {
class MachineGraph;
}

namespace lightcone::scenarios {

using KernelFunction = std::function<KernelResult(const hardware::TileProgram&, const hardware::GpuSpec&,
                                                  const hardware::EvaluateOptions&)>;

// The two evaluators, of kernels and of collectives, as values, so that a test can put its own in their place.
using MessageFunction = std::function<MessageResult(const hardware::MessageProgram&, const hardware::MachineGraph&)>;

struct Evaluators {
  KernelFunction analytical;
  KernelFunction cycle;
  MessageFunction messages_analytical = {};
  MessageFunction messages_cycle = {};
};
Evaluators real_evaluators();

struct EvaluationSettings {
  Evaluator fidelity = Evaluator::cycle;
  hardware::EvaluateOptions options;
};

struct EvaluatedKernel {
  std::string hash;  // hardware::content_hash of the program
  KernelResult result;
  std::string error;  // why there is no result; empty when there is one
  bool from_store = false;
  std::optional<MessageResult> messages = {};  // of a collective, of which `result` is the view of one GPU
};

// Where the work is done and remembered.
struct Workbench {
  const Evaluators& evaluators;
  KernelStore& store;
  const ProcessPool& pool;
  Progress& progress;
};

// One entry per program, in order. `gpu_hash`: hash of every field of `gpu` that an evaluator reads. Each result is
// in the store as soon as it is there. Throws Interrupted.
std::vector<EvaluatedKernel> evaluate_kernels(const std::vector<hardware::TileProgram>& programs,
                                              const hardware::GpuSpec& gpu, const std::string& gpu_hash,
                                              const EvaluationSettings& settings, const Workbench& bench);

}  // namespace lightcone::scenarios
