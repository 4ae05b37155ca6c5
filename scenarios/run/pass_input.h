// SPDX-License-Identifier: Apache-2.0
// A resolved scenario as the input of a pass: the operators of its phase, what they need of memory, and the GPU.
#pragma once

#include "scenarios/load/scenario.h"
#include "scenarios/run/run_pass.h"

namespace lightcone::scenarios {

// Everything of it but operators and memory.
PassInput pass_base(const Scenario& scenario, EvaluationSettings evaluation);

// `evaluation` without its launch mode, which the workload gives. Throws ConfigError when the phase does not fit the
// model (longer than its learned positions, sizes too large).
PassInput make_pass_input(const Scenario& scenario, EvaluationSettings evaluation);

}  // namespace lightcone::scenarios
