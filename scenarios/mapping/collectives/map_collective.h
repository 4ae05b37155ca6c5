// SPDX-License-Identifier: Apache-2.0
// A collective of some GPUs to messages, by the algorithm, protocol and number of channels that its library would take:
// the smallest predicted time over those that the ranks and the fabric allow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/gpu_spec.h"
#include "hardware/spec/machine_graph.h"
#include "models/graph/communication.h"
#include "scenarios/mapping/collectives/collective_options.h"

namespace lightcone::scenarios {

struct MappedCollective {
  hardware::MessageProgram program;
  std::string note;  // what was chosen, among how many
};

// `gpus`: of the machine graph, by rank; as many as the operator has ranks, two at least. Throws ConfigError when
// nothing that the options allow can run there.
MappedCollective map_collective(const models::Communication& op, const std::vector<std::uint32_t>& gpus,
                                const hardware::MachineGraph& graph, const hardware::GpuSpec& gpu,
                                const CollectiveOptions& options = {});

}  // namespace lightcone::scenarios
