// SPDX-License-Identifier: Apache-2.0
// The steps of a worker class with the number of times that each is run.
#pragma once

#include "hardware/program/message_program.h"

namespace lightcone::hardware {

template <class Visit>  // (const MessageStep&, std::uint64_t times)
void for_each_step(const WorkerClass& worker_class, Visit&& visit) {
  for (const MessageBlock& block : worker_class.blocks) {
    for (const MessageSegment& segment : block.segments) {
      for (const MessageStep& step : segment.steps) visit(step, block.repeat * segment.repeat);
    }
  }
}

}  // namespace lightcone::hardware
