// SPDX-License-Identifier: Apache-2.0
// Plays the tasks of a step: a task starts when it is the next of its stream and all that it needs has ended; phases
// that run on one device together slow each other down (share_rates). Event-driven, a pure function.
#pragma once

#include <vector>

#include "scenarios/step/step_graph.h"

namespace lightcone::scenarios {

struct TaskSpan {
  Seconds start, end;
};

struct PlayedStep {
  std::vector<TaskSpan> tasks;  // as in the graph
  Seconds time;                 // until the last task has ended
};

// Throws std::logic_error when tasks wait for each other.
PlayedStep play(const StepGraph& graph);

}  // namespace lightcone::scenarios
