// SPDX-License-Identifier: Apache-2.0
#include "workloads/schedule/play_pipeline.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace lightcone::workloads {
namespace {

// When each task ended, found by stage, work, chunk and micro batch.
class Ends {
 public:
  explicit Ends(const PipelineShape& shape)
      : shape_(shape), ends_(std::size_t{4} * shape.stages * shape.chunks * shape.micro_batches) {}
  std::optional<Seconds>& at(std::uint32_t stage, const StageTask& task) {
    const std::size_t part = std::size_t{stage} * shape_.chunks + task.chunk;
    return ends_[(part * shape_.micro_batches + task.micro_batch) * 4 + static_cast<std::size_t>(task.work)];
  }

 private:
  const PipelineShape& shape_;
  std::vector<std::optional<Seconds>> ends_;
};

// When all that the task needs is there; nothing while some of it has not been done.
std::optional<Seconds> ready(const PipelineShape& shape, std::uint32_t stage, const StageTask& task, Seconds hand_over,
                             Ends& ends) {
  Seconds at;
  for (const StageTaskAt& needed : needed_by(shape, stage, task)) {
    const std::optional<Seconds> end = ends.at(needed.stage, needed.task);
    if (!end) return std::nullopt;
    at = std::max(at, needed.stage == stage ? *end : *end + hand_over);
  }
  return at;
}

}  // namespace

double PlayedPipeline::bubble() const {
  const Seconds most = *std::max_element(busy.begin(), busy.end());
  return (time - most) / most;
}

PlayedPipeline play(const PipelineShape& shape, const PipelineTiming& timing) {
  std::vector<std::vector<StageTask>> lists;
  std::size_t left = 0;
  for (std::uint32_t s = 0; s < shape.stages; ++s) {
    lists.push_back(stage_tasks(shape, s));
    left += lists.back().size();
  }
  PlayedPipeline played;
  played.stages.resize(shape.stages);
  played.busy.resize(shape.stages);
  Ends ends(shape);
  for (bool moved = true; left > 0; moved = false) {
    for (std::uint32_t s = 0; s < shape.stages; ++s) {
      std::vector<PlayedTask>& done = played.stages[s];
      while (done.size() < lists[s].size()) {
        const StageTask& task = lists[s][done.size()];
        const std::optional<Seconds> from = ready(shape, s, task, timing.hand_over, ends);
        if (!from) break;
        const Seconds start = done.empty() ? *from : std::max(*from, done.back().end);
        const Seconds length = timing.task(s, task);
        done.push_back({task, start, start + length});
        ends.at(s, task) = start + length;
        played.busy[s] += length;
        played.time = std::max(played.time, start + length);
        moved = true;
        --left;
      }
    }
    if (!moved) throw std::logic_error(fmt::format("the pipeline schedule halts with {} tasks left", left));
  }
  return played;
}

}  // namespace lightcone::workloads
