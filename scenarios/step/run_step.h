// SPDX-License-Identifier: Apache-2.0
// A training step over many GPUs: operators and collectives evaluated once each, the tasks built and played, the result
// summed up.
#pragma once

#include "scenarios/step/step_input.h"
#include "scenarios/step/step_result.h"

namespace lightcone::scenarios {

StepResult run_step(const StepInput& input, const ValidationTable& validation, const Workbench& bench);

}  // namespace lightcone::scenarios
