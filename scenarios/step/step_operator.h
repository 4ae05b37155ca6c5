// SPDX-License-Identifier: Apache-2.0
// One operator of a layer, evaluated: what the step needs to know of it.
#pragma once

#include <cstdint>
#include <string>

#include "scenarios/step/step_graph.h"

namespace lightcone::scenarios {

struct StepOperator {
  std::string name;
  StepKind kind = StepKind::forward;  // forward, recompute, backward or optimiser; collectives: of the pass they are in
  bool collective = false;            // on the stream of the layer's collectives
  bool weight_gradient = false;       // nothing in the backward waits for it
  bool again = false;                 // a collective that gathers once more what only weight gradients read
  Seconds time;                       // of one execution, alone
  Joules energy;                      // of one rank
  Demand demand;
};

}  // namespace lightcone::scenarios
