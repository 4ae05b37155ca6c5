// SPDX-License-Identifier: Apache-2.0
// Memory of one rank of each stage: weights, gradients and optimiser states as ZeRO divides them, activations of the
// micro batches in flight, and the tensors of the operator at work. Known from the schedule alone, before anything is
// simulated. Not counted: fragmentation, buffers of the communication library.
#pragma once

#include <vector>

#include "scenarios/run/run_result.h"
#include "scenarios/step/build_step.h"
#include "scenarios/step/play_step.h"

namespace lightcone::scenarios {

// Of one section, per rank.
struct SectionMemory {
  Bytes saved;    // from a micro batch's forward to the end of its backward
  Bytes again;    // computed again during one backward
  Bytes working;  // of the largest operator
};

struct ParameterFormats {
  Bytes weight, gradient, states;  // of one parameter: states are the moments and the master copy
};

// Owners of the memory of stage `stage` when most is in use.
std::vector<MemoryOwner> stage_memory(const StepPlan& plan, const std::vector<SectionMemory>& sections,
                                      const ParameterFormats& formats, std::uint32_t stage);

// What one micro batch leaves in a part of the model until its backward.
Bytes saved_in_part(const StepPlan& plan, const std::vector<SectionMemory>& sections, std::uint32_t stage,
                    std::uint32_t chunk);

// Memory of a stage from `at` until the next sample.
struct MemorySample {
  Seconds at;
  Bytes bytes;
};

// What the micro batches in flight hold on `stage`, from the start of their forward to the end of their last gradient.
// `saved`: of each chunk, as saved_in_part says.
std::vector<MemorySample> saved_over_time(const StepGraph& graph, const PlayedStep& played,
                                          const std::vector<Bytes>& saved, std::uint32_t stage);

}  // namespace lightcone::scenarios
