// SPDX-License-Identifier: Apache-2.0
// Pipeline schedules as task lists: what each stage does with which micro batch, in which order. A stage holds `chunks`
// parts of the model; part c of stage p is the (c P + p)-th of P * chunks parts in a row. Pure: no times, no machine.
//
// Sources: GPipe (Huang et al. 2019); 1F1B and its interleaved form (Narayanan et al. 2021, section 2.2, in the order
// of Megatron-Core's schedules.py); ZB-H1 (Qi et al. 2024, section 2.1), in which a backward is split: the gradient of
// the input, for which the stage before waits, and later that of the weights, for which nobody does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/plan_spec.h"

namespace lightcone::workloads {

enum class StageWork : std::uint8_t { forward, backward, input_gradient, weight_gradient };
std::string_view name(StageWork work);

// `backward` is both gradients at once; a schedule has either it or the two parts.
struct StageTask {
  StageWork work = StageWork::forward;
  std::uint32_t chunk = 0;
  std::uint32_t micro_batch = 0;
  bool operator==(const StageTask&) const = default;
};

struct PipelineShape {
  PipelineSchedule schedule = PipelineSchedule::one_f_one_b;
  std::uint32_t stages = 1;
  std::uint32_t chunks = 1;  // per stage; more than one with `interleaved` only
  std::uint32_t micro_batches = 1;

  [[nodiscard]] bool splits_backward() const { return schedule == PipelineSchedule::zero_bubble; }
};

// Every rule that the shape breaks, in words; empty when stage_tasks can be called.
std::vector<std::string> faults(const PipelineShape& shape);

// The tasks of one stage in order of execution. Each micro batch passes forward and backward through every chunk once.
std::vector<StageTask> stage_tasks(const PipelineShape& shape, std::uint32_t stage);

// A task of some stage.
struct StageTaskAt {
  std::uint32_t stage = 0;
  StageTask task;
};

// What must have finished before: of a forward that of the part before, of a backward (or input gradient) its own
// forward and the backward of the part behind, of a weight gradient its input gradient.
std::vector<StageTaskAt> needed_by(const PipelineShape& shape, std::uint32_t stage, const StageTask& task);

// Most activations that a stage holds at once, in micro batches of one chunk: each from its forward to the end of its
// last gradient.
std::uint32_t most_in_flight(const std::vector<StageTask>& tasks);

}  // namespace lightcone::workloads
