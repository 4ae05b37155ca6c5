// SPDX-License-Identifier: Apache-2.0
// The step with a device for every rank instead of one for every stage: what symmetry saves, written out. Collectives
// begin on all members when the last one has arrived and end on all when the last one has finished.
#pragma once

#include <cstdint>

#include "scenarios/step/step_graph.h"

namespace lightcone::scenarios {

// How many ranks stand behind each device of a folded step.
struct StageRanks {
  std::uint32_t layer = 1;  // that share a layer: tensor and context
  std::uint32_t data = 1;
};

// Device of rank (l, d) of stage s: l + layer (d + data s). Tasks of the folded graph keep their order on every stream.
StepGraph unfold(const StepGraph& folded, const StageRanks& ranks);

}  // namespace lightcone::scenarios
