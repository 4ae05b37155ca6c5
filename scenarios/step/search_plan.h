// SPDX-License-Identifier: Apache-2.0
// `plan { auto: true }`: the legal plans of a training step on the machine's GPUs, each priced in closed form, the best
// few at the fidelity asked for, and what was rejected and why. The workload's batch x micro_batches are the sequences
// of the whole step, which every plan divides over its data ranks.
//
// Searched: powers of two as tensor ranks within the scale-up domain (with sequence parallelism), divisions of the
// layers over stages, the rest data ranks; 1, 2, 4 or 8 sequences per micro batch; 1F1B, interleaved with 2, 4, 8 ...
// chunks, ZB-H1; with each policy of recomputation the lowest ZeRO stage that fits the memory, until ZeRO 1 does: more
// of either then only costs time. Not searched: context and expert ranks, which stay as the plan gives them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "scenarios/load/scenario.h"
#include "scenarios/step/step_result.h"

namespace lightcone::scenarios {

struct PlanCandidate {
  workloads::PlanSpec plan;
  workloads::Training training;
  double tokens_per_second = 0;  // 0: not priced
  std::string rejected;          // the rule that it breaks, or the memory that it lacks
};

struct PlanSearch {
  std::vector<PlanCandidate> priced;    // best first
  std::vector<PlanCandidate> rejected;  // before pricing
};

// Throws ConfigError where the plan does not suffice; else the step as it would run.
using PriceFunction = std::function<StepResult(const Scenario&)>;

// The scenario with a candidate's plan and batch instead of its own.
Scenario with_candidate(const Scenario& scenario, const PlanCandidate& candidate);

// `fits`: throws ConfigError with the reason when it does not (make_step_input). `closed_form` prices every candidate,
// `checked` the best `check` of them once more. Throws ConfigError when no plan is left, with the reasons.
PlanSearch search_plan(const Scenario& scenario, const std::function<void(const Scenario&)>& fits,
                       const PriceFunction& closed_form, const PriceFunction& checked, std::size_t check = 3);

// The best plans, how many were rejected for which reason, and an example of each.
std::string search_text(const PlanSearch& search);

}  // namespace lightcone::scenarios
