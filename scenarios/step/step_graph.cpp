// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/step_graph.h"

namespace lightcone::scenarios {
namespace {

// In enum order.
constexpr std::array<std::string_view, kStreamCount> kStreams{"compute", "layer collectives", "data collectives",
                                                              "to the next stage", "to the stage before"};
constexpr std::array<std::string_view, 9> kKinds{"forward",         "recompute",        "backward",
                                                 "weight_gradient", "optimiser",        "layer_collective",
                                                 "gather_weights",  "reduce_gradients", "send"};

}  // namespace

std::string_view name(Stream stream) { return kStreams[static_cast<std::size_t>(stream)]; }
std::string_view name(StepKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

Seconds StepWork::time() const {
  Seconds sum;
  for (const StepPhase& phase : phases) sum += phase.time;
  return sum;
}

Joules StepWork::energy() const {
  Joules sum;
  for (const StepPhase& phase : phases) sum += phase.energy;
  return sum;
}

}  // namespace lightcone::scenarios
