// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/step_memory.h"

#include <algorithm>

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

}  // namespace lightcone::scenarios
