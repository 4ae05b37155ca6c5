// SPDX-License-Identifier: Apache-2.0
// The two evaluators of a message program on a machine graph. Both read the same program and the same graph.
#pragma once

#include "hardware/program/message_program.h"
#include "hardware/spec/machine_graph.h"
#include "sim/observe/message_result.h"

namespace lightcone::hardware {

struct MessageOptions {
  bool fold = true;  // play one rank per symmetry class where program and graph allow it
};

// Closed form, microseconds of host time: the longest chain of dependent steps without queues, and what every link,
// worker and memory has to carry.
MessageResult evaluate_messages_analytical(const MessageProgram& program, const MachineGraph& graph,
                                           const MessageOptions& options = {});

// Every message on the live links and switches, on SystemC. One call per process.
MessageResult evaluate_messages_cycle(const MessageProgram& program, const MachineGraph& graph,
                                      const MessageOptions& options = {});

}  // namespace lightcone::hardware
