// SPDX-License-Identifier: Apache-2.0
// What the ranks of a message program take of their GPUs, whoever evaluates it.
#pragma once

#include "hardware/program/message_program.h"
#include "sim/observe/message_result.h"

namespace lightcone::hardware {

// Memory traffic and SMs of the busiest GPU, and the longest computation, into the result.
void count_ranks(const MessageProgram& program, MessageResult& result);

}  // namespace lightcone::hardware
