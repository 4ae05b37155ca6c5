// SPDX-License-Identifier: Apache-2.0
#include "workloads/schedule/pipeline.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace lightcone::workloads {
namespace {

constexpr std::array<std::string_view, 4> kWorks{"forward", "backward", "input_gradient", "weight_gradient"};

StageTask forward_of(std::uint32_t micro_batch) { return {StageWork::forward, 0, micro_batch}; }

std::vector<StageTask> gpipe(const PipelineShape& shape) {
  std::vector<StageTask> tasks;
  for (std::uint32_t m = 0; m < shape.micro_batches; ++m) tasks.push_back(forward_of(m));
  for (std::uint32_t m = shape.micro_batches; m-- > 0;) tasks.push_back({StageWork::backward, 0, m});
  return tasks;
}

// Forwards until the first gradient can come back, then one forward and one backward in turn, then the backwards left.
std::vector<StageTask> one_f_one_b(const PipelineShape& shape, std::uint32_t stage) {
  const std::uint32_t warm_up = std::min(shape.stages - stage - 1, shape.micro_batches);
  std::vector<StageTask> tasks;
  for (std::uint32_t m = 0; m < warm_up; ++m) tasks.push_back(forward_of(m));
  for (std::uint32_t m = 0; m < shape.micro_batches; ++m) {
    if (m + warm_up < shape.micro_batches) tasks.push_back(forward_of(m + warm_up));
    tasks.push_back({StageWork::backward, 0, m});
  }
  return tasks;
}

// The k-th pass of a stage: `stages` micro batches go through chunk 0, then the same through chunk 1, and so on.
StageTask interleaved_pass(const PipelineShape& shape, std::uint32_t k, StageWork work) {
  const std::uint32_t group = shape.stages * shape.chunks;
  const std::uint32_t chunk = k % group / shape.stages;
  return {work, work == StageWork::forward ? chunk : shape.chunks - 1 - chunk,
          k / group * shape.stages + k % shape.stages};
}

std::vector<StageTask> interleaved(const PipelineShape& shape, std::uint32_t stage) {
  const std::uint32_t passes = shape.micro_batches * shape.chunks;
  const std::uint32_t warm_up = std::min(2 * (shape.stages - stage - 1) + (shape.chunks - 1) * shape.stages, passes);
  std::vector<StageTask> tasks;
  for (std::uint32_t k = 0; k < warm_up; ++k) tasks.push_back(interleaved_pass(shape, k, StageWork::forward));
  for (std::uint32_t k = 0; k < passes; ++k) {
    if (k + warm_up < passes) tasks.push_back(interleaved_pass(shape, k + warm_up, StageWork::forward));
    tasks.push_back(interleaved_pass(shape, k, StageWork::backward));
  }
  return tasks;
}

// 1F1B in which the weight gradients of stage p stay p micro batches behind: every stage then holds as much as the
// first one does.
std::vector<StageTask> zero_bubble(const PipelineShape& shape, std::uint32_t stage) {
  std::vector<StageTask> tasks;
  std::uint32_t weights = 0;
  for (StageTask task : one_f_one_b(shape, stage)) {
    if (task.work == StageWork::forward) {
      tasks.push_back(task);
      continue;
    }
    tasks.push_back({StageWork::input_gradient, 0, task.micro_batch});
    if (task.micro_batch >= stage) tasks.push_back({StageWork::weight_gradient, 0, weights++});
  }
  while (weights < shape.micro_batches) tasks.push_back({StageWork::weight_gradient, 0, weights++});
  return tasks;
}

}  // namespace

std::string_view name(StageWork work) { return kWorks[static_cast<std::size_t>(work)]; }

std::vector<std::string> faults(const PipelineShape& shape) {
  std::vector<std::string> found;
  if (shape.stages == 0 || shape.chunks == 0 || shape.micro_batches == 0) {
    found.emplace_back("pipeline stages, chunks and micro batches must be at least 1");
    return found;
  }
  if (shape.schedule != PipelineSchedule::interleaved) {
    if (shape.chunks > 1)
      found.push_back(fmt::format("{} chunks per stage need the interleaved schedule", shape.chunks));
    return found;
  }
  if (shape.chunks == 1) found.emplace_back("the interleaved schedule needs at least 2 chunks per stage");
  if (shape.micro_batches % shape.stages != 0) {
    found.push_back(fmt::format("the interleaved schedule needs a multiple of its {} stages as micro batches, not {}",
                                shape.stages, shape.micro_batches));
  }
  return found;
}

std::vector<StageTask> stage_tasks(const PipelineShape& shape, std::uint32_t stage) {
  switch (shape.schedule) {
    case PipelineSchedule::gpipe:
      return gpipe(shape);
    case PipelineSchedule::one_f_one_b:
      return one_f_one_b(shape, stage);
    case PipelineSchedule::interleaved:
      return interleaved(shape, stage);
    case PipelineSchedule::zero_bubble:
      return zero_bubble(shape, stage);
  }
  return {};
}

std::vector<StageTaskAt> needed_by(const PipelineShape& shape, std::uint32_t stage, const StageTask& task) {
  const auto same = [&](StageWork work) { return StageTaskAt{stage, {work, task.chunk, task.micro_batch}}; };
  std::vector<StageTaskAt> needed;
  switch (task.work) {
    case StageWork::forward:
      if (stage > 0) {
        needed.push_back({stage - 1, task});
      } else if (task.chunk > 0) {
        needed.push_back({shape.stages - 1, {task.work, task.chunk - 1, task.micro_batch}});
      }
      break;
    case StageWork::backward:
    case StageWork::input_gradient:
      needed.push_back(same(StageWork::forward));
      if (stage + 1 < shape.stages) {
        needed.push_back({stage + 1, task});
      } else if (task.chunk + 1 < shape.chunks) {
        needed.push_back({0, {task.work, task.chunk + 1, task.micro_batch}});
      }
      break;
    case StageWork::weight_gradient:
      needed.push_back(same(StageWork::input_gradient));
      break;
  }
  return needed;
}

std::uint32_t most_in_flight(const std::vector<StageTask>& tasks) {
  std::uint32_t held = 0, most = 0;
  for (const StageTask& task : tasks) {
    if (task.work == StageWork::forward) most = std::max(most, ++held);
    if (task.work == StageWork::backward || task.work == StageWork::weight_gradient) --held;
  }
  return most;
}

}  // namespace lightcone::workloads
