// SPDX-License-Identifier: Apache-2.0
// A training scenario with its plan as the input of a step: which operators and collectives there are, each once, and
// which of them every task consists of.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "scenarios/load/scenario.h"
#include "scenarios/run/run_pass.h"
#include "scenarios/step/build_step.h"
#include "scenarios/step/step_memory.h"

namespace lightcone::scenarios {

// Rows of PassInput::nodes, from `first` to before `last`.
struct NodeRange {
  std::size_t first = 0, last = 0;
};

struct SectionNodes {
  NodeRange forward, backward;  // backward: with what is computed again
  double times = 0;             // executions per rank and micro batch, mean over the stages
};

struct StepInput {
  PassInput pass;  // nodes of all sections, then the optimiser, the data collectives and the message between stages
  StepPlan plan;   // but for the plans of the layers, which need times
  std::vector<SectionNodes> sections;
  std::map<std::uint64_t, std::size_t> optimiser;  // by parameters: node
  std::map<std::pair<models::CollectiveKind, std::uint64_t>, std::size_t> data;
  std::optional<std::size_t> send;
  std::vector<std::vector<MemoryOwner>> memory;  // of each stage
  std::vector<SectionMemory> section_memory;
};

// Whether the scenario's plan needs a step over time, beyond one rank's operators in a row.
bool needs_step(const Scenario& scenario);

// Throws ConfigError for plans that break a rule, and for memory that does not suffice, naming the biggest owners.
StepInput make_step_input(const Scenario& scenario, EvaluationSettings evaluation);

}  // namespace lightcone::scenarios
