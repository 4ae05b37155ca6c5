// SPDX-License-Identifier: Apache-2.0
// What one pass through a layer puts on the streams: rows of kernels, cut where a collective must wait for them or they
// for it. A gradient's sum over the ranks runs beside the weight gradients of the same matrices, and so does the
// gathering that these need beside the gradient of the input (Megatron-LM's
// LinearWithGradAccumulationAndAsyncCommunication); all other collectives stand in the way of the next kernel.
#pragma once

#include <cstdint>
#include <vector>

#include "scenarios/step/step_graph.h"
#include "scenarios/step/step_operator.h"

namespace lightcone::scenarios {

struct LayerItem {
  Stream stream = Stream::compute;
  StepKind kind = StepKind::forward;
  std::uint32_t work = 0;
  std::vector<std::uint32_t> needs;  // earlier items of other streams; of the compute stream, the ones before it too
  bool needs_before = false;         // what the layer before left to wait for, and its last kernel
};

struct LayerPlan {
  std::vector<LayerItem> items;
  std::vector<std::uint32_t> open;  // items that the layer behind must wait for, besides the last kernel
};

// Appends works and names to `graph`. `operators` in order of execution, all of one pass through one layer.
LayerPlan plan_layer(const std::vector<StepOperator>& operators, StepGraph& graph);

// The operators without the gradients of weights, and those alone with what they gather: for schedules that split the
// backward. The latter as StepKind::weight_gradient.
std::vector<StepOperator> without_weight_gradients(const std::vector<StepOperator>& operators);
std::vector<StepOperator> weight_gradients(const std::vector<StepOperator>& operators);

}  // namespace lightcone::scenarios
