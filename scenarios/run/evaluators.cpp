// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/evaluate_messages.h"
#include "scenarios/run/evaluate_kernels.h"

namespace lightcone::scenarios {

Evaluators real_evaluators() {
  const auto closed_form = [](const hardware::MessageProgram& program, const hardware::MachineGraph& graph) {
    return hardware::evaluate_messages_analytical(program, graph);
  };
  const auto played = [](const hardware::MessageProgram& program, const hardware::MachineGraph& graph) {
    return hardware::evaluate_messages_cycle(program, graph);
  };
  return {hardware::evaluate_analytical, hardware::evaluate_cycle, closed_form, played};
}

}  // namespace lightcone::scenarios
