// SPDX-License-Identifier: Apache-2.0
// Energy of a fabric while a message program runs: of the bits that its links carried and its switches passed, and of
// all that is on whether or not bits pass: SerDes, lasers and ring heaters of every link of the program's GPUs, and
// their share of switches and of the links between them.
#pragma once

#include <vector>

#include "hardware/machine/message_layout.h"
#include "sim/observe/message_result.h"

namespace lightcone::hardware {

// By kind of link, those only that carried something or are on; `busy_time`: the time that `busiest` is a share of.
std::vector<LinkUse> link_uses(const MessageLayout& layout, const MessageProgram& program, const MachineGraph& graph,
                               Seconds time, Seconds busy_time);
Joules switch_energy(const MessageLayout& layout, const MessageProgram& program, const MachineGraph& graph,
                     Seconds time);

}  // namespace lightcone::hardware
