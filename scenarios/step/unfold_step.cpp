// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/unfold_step.h"

namespace lightcone::scenarios {
namespace {

// Which ranks of its stage a task meets.
std::vector<std::uint32_t> members(const StepTask& task, std::uint32_t rank, const StageRanks& ranks) {
  const std::uint32_t l = rank % ranks.layer, d = rank / ranks.layer;
  std::vector<std::uint32_t> met;
  if (task.kind == StepKind::layer_collective) {
    for (std::uint32_t i = 0; i < ranks.layer; ++i) met.push_back(i + ranks.layer * d);
  } else if (task.stream == Stream::data) {
    for (std::uint32_t i = 0; i < ranks.data; ++i) met.push_back(l + ranks.layer * i);
  } else {
    met.push_back(rank);
  }
  return met;
}

}  // namespace

StepGraph unfold(const StepGraph& folded, const StageRanks& ranks) {
  const std::uint32_t each = ranks.layer * ranks.data;
  StepGraph graph;
  graph.devices = folded.devices * each;
  graph.works = folded.works;
  graph.names = folded.names;
  graph.works.emplace_back();  // of an arrival: nothing to do
  const auto nothing = static_cast<std::uint32_t>(graph.works.size() - 1);
  // Task t of rank r stands at 2 (t each + r) + 1, behind its arrival; the optimiser needs every rank's gradients.
  const auto at = [&](std::uint32_t task, std::uint32_t rank) { return 2 * (task * each + rank) + 1; };
  for (std::uint32_t t = 0; t < folded.tasks.size(); ++t) {
    for (std::uint32_t r = 0; r < each; ++r) {
      StepTask task = folded.tasks[t];
      task.device = task.device * each + r;
      task.to = task.to * each + r;
      StepTask arrival = task;
      arrival.work = nothing;
      for (std::uint32_t& needed : arrival.needs) needed = at(needed, r);
      task.needs.clear();
      for (const std::uint32_t other : members(folded.tasks[t], r, ranks)) task.needs.push_back(at(t, other) - 1);
      graph.tasks.push_back(std::move(arrival));
      graph.tasks.push_back(std::move(task));
    }
  }
  // Whoever waits for a collective waits for all its members, as an all-reduce ends nowhere before it has ended.
  for (std::size_t i = 0; i < graph.tasks.size(); i += 2) {
    StepTask& arrival = graph.tasks[i];
    std::vector<std::uint32_t> needs;
    for (const std::uint32_t needed : arrival.needs) {
      const std::uint32_t t = (needed - 1) / 2 / each, r = (needed - 1) / 2 % each;
      for (const std::uint32_t other : members(folded.tasks[t], r, ranks)) needs.push_back(at(t, other));
    }
    arrival.needs = std::move(needs);
  }
  return graph;
}

}  // namespace lightcone::scenarios
