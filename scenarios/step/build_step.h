// SPDX-License-Identifier: Apache-2.0
// The tasks of a training step: every micro batch through every layer of every stage in the order of the pipeline's
// schedule, messages between the stages, gradients to and weights from the data ranks, the optimiser. As Megatron-Core
// does it:
// - Stages of the interleaved schedule go on while a message is under way (overlap_p2p_comm); with the other schedules
// a
//   stage waits until its message has left.
// - ZeRO 0 sums, ZeRO 1 reduces and scatters the gradients once per step, in buckets as the last backward fills them;
//   ZeRO 1 gathers the weights bucket by bucket before the first forward that needs them (overlap_param_gather).
// - ZeRO 2 reduces and scatters layer by layer in every backward. ZeRO 3 also gathers each layer's weights before its
//   forward and its backward, one layer ahead (FSDP, backward_prefetch).
// - The optimiser waits for the gradients of all stages, whose common norm it needs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/graph/communication.h"
#include "scenarios/step/layer_plan.h"
#include "scenarios/step/step_graph.h"
#include "workloads/schedule/pipeline.h"

namespace lightcone::scenarios {

// A kind of layer, or the embedding, or the head with the loss: what one micro batch does in it.
struct StepSection {
  LayerPlan forward, backward;
  LayerPlan weight_gradient;     // of schedules that split the backward; `backward` then lacks it
  std::uint64_t parameters = 0;  // of one rank
};

// How the data ranks share gradients, optimiser states and weights.
struct DataPlan {
  std::uint64_t ranks = 1;
  std::uint32_t zero = 0;
  bool overlap = true;                           // beside the backward and the forward; else after the last backward
  std::uint64_t bucket_parameters = 40'000'000;  // at least, of ZeRO 0 and 1
};

struct StepPlan {
  workloads::PipelineShape pipeline;
  std::vector<std::vector<std::uint32_t>> parts;  // sections of part chunk * stages + stage, in order of the forward
  std::vector<StepSection> sections;
  DataPlan data;
};

// Works of what depends on sizes, appended to the graph: an index into StepGraph::works.
struct StepCosts {
  std::function<std::uint32_t(models::CollectiveKind, std::uint64_t parameters)> data;  // over the data ranks
  std::function<std::uint32_t(std::uint64_t parameters)> optimiser;                     // of all that a rank updates
  std::uint32_t send = 0;  // of one micro batch's stream to the next stage, and of its gradient to the stage before
};

// `graph` holds the works that the sections' plans name; devices and tasks are added to it. Device s is stage s.
void build_step(const StepPlan& plan, const StepCosts& costs, StepGraph& graph);

// Parameters of one rank of a stage.
std::uint64_t stage_parameters(const StepPlan& plan, std::uint32_t stage);

}  // namespace lightcone::scenarios
