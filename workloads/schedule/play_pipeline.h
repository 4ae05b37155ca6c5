// SPDX-License-Identifier: Apache-2.0
// A pipeline schedule with times: each stage does its tasks in order, each as soon as what it needs has arrived.
#pragma once

#include <functional>
#include <vector>

#include "sim/base/units.h"
#include "workloads/schedule/pipeline.h"

namespace lightcone::workloads {

struct PipelineTiming {
  std::function<Seconds(std::uint32_t stage, const StageTask& task)> task;
  Seconds hand_over;  // from the end of a task until another stage has its result
};

struct PlayedTask {
  StageTask task;
  Seconds start, end;
};

struct PlayedPipeline {
  std::vector<std::vector<PlayedTask>> stages;  // in order of execution
  Seconds time;                                 // until the last task has ended
  std::vector<Seconds> busy;                    // of each stage

  // Time that the busiest stage waits, as a share of the time that it works: the bubble as the papers define it.
  [[nodiscard]] double bubble() const;
};

// Throws std::logic_error when the schedule comes to a halt: tasks that wait for each other.
PlayedPipeline play(const PipelineShape& shape, const PipelineTiming& timing);

}  // namespace lightcone::workloads
