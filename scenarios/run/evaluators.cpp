// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/evaluate_messages.h"
#include "scenarios/run/evaluate_kernels.h"

namespace lightcone::scenarios {

Evaluators real_evaluators() { return {hardware::evaluate_analytical, hardware::evaluate_cycle}; }

}  // namespace lightcone::scenarios
