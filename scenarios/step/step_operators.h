// SPDX-License-Identifier: Apache-2.0
// Evaluated rows of a pass as operators of a step: what each takes of the GPU while it runs.
#pragma once

#include <vector>

#include "scenarios/run/run_pass.h"
#include "scenarios/step/step_operator.h"

namespace lightcone::scenarios {

// One per row of `result`, which belongs to `mapped`. How much a kernel suffers from the loss of SMs is what the closed
// form says of the same kernel on a GPU with as many fewer as a collective takes (the mean over the collectives).
// Throws ConfigError when the fabric has more kinds of links than a step keeps apart.
std::vector<StepOperator> step_operators(const PassInput& input, const std::vector<MappedOperator>& mapped,
                                         const RunResult& result);

}  // namespace lightcone::scenarios
