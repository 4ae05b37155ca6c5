// SPDX-License-Identifier: Apache-2.0
// Which GPUs talk to each other: the ranks of each dimension of a plan, in Megatron-LM's order (plan_spec.h).
#pragma once

#include <cstdint>
#include <vector>

#include "models/graph/communication.h"
#include "workloads/plan_spec.h"

namespace lightcone::workloads {

// The GPUs of the group of `axis` that holds `gpu`, by rank. The ranks of experts are neighbours among those of tensor,
// context and data.
std::vector<std::uint32_t> group_of(const PlanSpec& plan, models::ParallelAxis axis, std::uint32_t gpu = 0);

}  // namespace lightcone::workloads
