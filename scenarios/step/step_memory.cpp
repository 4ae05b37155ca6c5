// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/step_memory.h"

#include <algorithm>
#include <map>
#include <utility>

namespace lightcone::scenarios {
namespace {

using workloads::StageWork;

Bytes most_saved(const StepPlan& plan, const std::vector<SectionMemory>& sections, std::uint32_t stage) {
  Bytes held, most;
  for (const workloads::StageTask& task : workloads::stage_tasks(plan.pipeline, stage)) {
    const Bytes part = saved_in_part(plan, sections, stage, task.chunk);
    if (task.work == StageWork::forward) most = std::max(most, held += part);
    if (task.work == StageWork::backward || task.work == StageWork::weight_gradient) held -= part;
  }
  return most;
}

}  // namespace

Bytes saved_in_part(const StepPlan& plan, const std::vector<SectionMemory>& sections, std::uint32_t stage,
                    std::uint32_t chunk) {
  Bytes sum;
  for (const std::uint32_t section : plan.parts[std::size_t{chunk} * plan.pipeline.stages + stage]) {
    sum += sections[section].saved;
  }
  return sum;
}

std::vector<MemoryOwner> stage_memory(const StepPlan& plan, const std::vector<SectionMemory>& sections,
                                      const ParameterFormats& formats, std::uint32_t stage) {
  const std::uint64_t all = stage_parameters(plan, stage), ranks = std::max<std::uint64_t>(1, plan.data.ranks);
  const std::uint64_t part = (all + ranks - 1) / ranks;
  const std::uint32_t zero = plan.data.zero;
  Bytes working, again;
  std::uint64_t largest = 0;  // layer, in parameters
  for (std::uint32_t c = 0; c < plan.pipeline.chunks; ++c) {
    for (const std::uint32_t section : plan.parts[std::size_t{c} * plan.pipeline.stages + stage]) {
      working = std::max(working, sections[section].working);
      again = std::max(again, sections[section].again);
      largest = std::max(largest, plan.sections[section].parameters);
    }
  }
  std::vector<MemoryOwner> owners{{"weights", formats.weight * (zero >= 3 ? part : all)},
                                  {"gradients", formats.gradient * (zero >= 2 ? part : all)},
                                  {"optimiser states", formats.states * (zero >= 1 ? part : all)},
                                  {"activations", most_saved(plan, sections, stage)},
                                  {"working tensors", working + again}};
  // The layer at work and the one gathered ahead; gradients of one layer until they are reduced.
  if (zero >= 3 && ranks > 1) owners.push_back({"gathered weights", formats.weight * (2 * largest)});
  if (zero >= 2 && ranks > 1) owners.push_back({"gradients to reduce", formats.gradient * largest});
  return owners;
}

std::vector<MemorySample> saved_over_time(const StepGraph& graph, const PlayedStep& played,
                                          const std::vector<Bytes>& saved, std::uint32_t stage) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, TaskSpan> held;  // by chunk and micro batch
  for (std::size_t t = 0; t < graph.tasks.size(); ++t) {
    const StepTask& task = graph.tasks[t];
    if (task.device != stage || task.stream != Stream::compute || task.kind == StepKind::optimiser) continue;
    const TaskSpan& span = played.tasks[t];
    const auto [entry, fresh] = held.emplace(std::pair{task.chunk, task.micro_batch}, span);
    if (fresh) continue;
    entry->second.start = std::min(entry->second.start, span.start);
    entry->second.end = std::max(entry->second.end, span.end);
  }
  std::map<Seconds, std::int64_t> changes;  // what is freed and taken at one instant counts together
  for (const auto& [key, span] : held) {
    const auto bytes = static_cast<std::int64_t>(saved[key.first].count());
    changes[span.start] += bytes;
    changes[span.end] -= bytes;
  }
  std::vector<MemorySample> samples;
  std::int64_t now = 0;
  for (const auto& [at, change] : changes) samples.push_back({at, Bytes(static_cast<std::uint64_t>(now += change))});
  return samples;
}

}  // namespace lightcone::scenarios
