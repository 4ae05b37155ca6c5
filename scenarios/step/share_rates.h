// SPDX-License-Identifier: Apache-2.0
// How phases that run on one device at the same time slow each other down: fluid sharing. Collectives keep their SMs
// from computation; bandwidth of HBM and of each kind of link is divided max-min fairly: all phases speed up together
// until something that they use is exhausted (Bertsekas and Gallager 1992, section 6.5.2). Not modelled: misses of the
// L2 that one causes the other, the power that both draw together.
#pragma once

#include <vector>

#include "scenarios/step/step_graph.h"

namespace lightcone::scenarios {

// The rate of each phase, 1: as when alone.
std::vector<double> share_rates(const std::vector<const Demand*>& running);

}  // namespace lightcone::scenarios
