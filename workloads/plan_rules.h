// SPDX-License-Identifier: Apache-2.0
// Which plans are legal: what each parallel dimension asks of the model, of the workload and of the number of GPUs
// (Shoeybi et al. 2019, Narayanan et al. 2021, Korthikanti et al. 2022, Jacobs et al. 2023, Megatron-Core for experts).
#pragma once

#include <string>
#include <vector>

#include "models/families/share.h"
#include "models/model_spec.h"
#include "workloads/plan_spec.h"
#include "workloads/workload_spec.h"

namespace lightcone::workloads {

// A rule that a plan breaks: the field of the plan, and the rule with the nearest values that it allows.
struct PlanFault {
  std::string field;
  std::string message;
};

// Rules of the plan's numbers among themselves.
std::vector<PlanFault> plan_faults(const PlanSpec& plan);

// Those, and the rules of the model, the workload and the GPUs. Empty: the plan is legal.
std::vector<PlanFault> plan_faults(const PlanSpec& plan, const models::ModelSpec& model, const WorkloadSpec& workload,
                                   std::uint64_t gpu_count);

// Layers of all blocks.
std::uint64_t layers_of(const models::ModelSpec& model);

// What of the plan divides the model itself.
models::Share share_of(const PlanSpec& plan);

// "tensor 8 (sequence parallel) x data 2", "one GPU": the dimensions above 1.
std::string words(const PlanSpec& plan);

}  // namespace lightcone::workloads
