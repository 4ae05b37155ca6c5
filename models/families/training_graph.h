// SPDX-License-Identifier: Apache-2.0
// A training step of a model on one GPU: forward with the loss, backward, optimiser, and the memory that they take.
// Not described: dropout, clipping of the gradient norm, the auxiliary losses of experts, several GPUs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/families/pass_shape.h"
#include "models/graph/backward.h"
#include "models/model_spec.h"

namespace lightcone::models {

// A step of `micro_batches` forward and backward passes, each over `batch` sequences, whose gradients add up.
struct TrainingShape {
  std::uint64_t batch = 1, tokens = 1, micro_batches = 1;
  NumberFormat weights = NumberFormat::bf16;  // of all parameters, and of the activations
  NumberFormat gradients = NumberFormat::bf16;
  Recomputation recomputation = Recomputation::none;

  // Narrow weights have an fp32 master copy.
  [[nodiscard]] bool master() const { return info(weights).bits < 32; }
};

enum class TrainingPhase : std::uint8_t { forward, recompute, backward, optimiser };
std::string_view name(TrainingPhase phase);

struct TrainingNode {
  TrainingPhase phase;
  Node node;
};

// Operators in order of execution; `repeat` counts layers and micro batches. The micro batches of a section stand
// together, though they run one whole pass after another.
struct TrainingSection {
  std::string name;
  std::uint64_t repeat = 1;
  std::vector<TrainingNode> nodes;
  Bytes saved;    // that one forward execution leaves for its backward, under the policy of recomputation
  Bytes again;    // of which the policy drops and the backward computes again, all of one layer at a time
  Bytes working;  // inputs and outputs of its largest operator
};

struct TrainingMemory {
  Bytes weights, gradients, optimiser_states;
  Bytes activations;  // saved by the forward pass of one micro batch for its backward
  Bytes working;      // inputs and outputs of the largest operator, with `full` one layer's activations besides
};

struct TrainingGraph {
  std::vector<TrainingSection> sections;
  TrainingMemory memory;
};

// Throws ConfigError for sizes of zero or too large, sequences beyond the learned positions, formats without mixed
// precision (weights bf16, fp16 or fp32; gradients the same or fp32), operators without a backward.
TrainingGraph build_training(const ModelSpec& model, const TrainingShape& shape);

}  // namespace lightcone::models
