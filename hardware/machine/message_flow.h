// SPDX-License-Identifier: Apache-2.0
// The order of a message program without queues: every worker goes through its steps, a receive waits for its message,
// and each sender has its share of the links to itself. Of symmetric ranks one is followed; of long loops the first
// rounds, the rest at the pace of the last of them.
#pragma once

#include <cstdint>
#include <vector>

#include "hardware/machine/message_traffic.h"
#include "hardware/program/message_program.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

struct FlowResult {
  Seconds end;                 // of the last worker, from the first step on; messages under way have arrived
  Seconds longest_work;        // of the worker that works longest: copying, reducing, step overheads
  std::uint32_t followed = 0;  // ranks
};

// `representative`: by rank, the rank that does the same at the same time (itself where there is none).
// Throws std::logic_error when the steps wait for each other in a circle.
FlowResult follow_messages(const MessageProgram& program, const MessageTraffic& traffic,
                           const std::vector<std::uint32_t>& representative);

}  // namespace lightcone::hardware
