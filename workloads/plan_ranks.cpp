// SPDX-License-Identifier: Apache-2.0
#include "workloads/plan_ranks.h"

#include "sim/base/error.h"

namespace lightcone::workloads {

namespace {

// GPUs base + i * stride, base the member of the group with rank 0.
struct Spacing {
  std::uint32_t ranks, stride;
};

Spacing spacing(const PlanSpec& plan, models::ParallelAxis axis) {
  switch (axis) {
    case models::ParallelAxis::tensor:
      return {plan.tensor, 1};
    case models::ParallelAxis::context:
      return {plan.context, plan.tensor};
    case models::ParallelAxis::data:
      return {plan.data, plan.tensor * plan.context};
    case models::ParallelAxis::pipeline:
      return {plan.pipeline, plan.tensor * plan.context * plan.data};
    case models::ParallelAxis::expert:
      return {plan.expert, 1};
  }
  return {1, 1};
}

}  // namespace

std::vector<std::uint32_t> group_of(const PlanSpec& plan, models::ParallelAxis axis, std::uint32_t gpu) {
  LIGHTCONE_ASSERT(gpu < plan.gpus());
  const auto [ranks, stride] = spacing(plan, axis);
  const std::uint32_t base = gpu - gpu / stride % ranks * stride;
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = 0; i < ranks; ++i) out.push_back(base + i * stride);
  return out;
}

}  // namespace lightcone::workloads
