// SPDX-License-Identifier: Apache-2.0
// The summary of a run for a terminal: about fifteen lines.
#pragma once

#include <string>

#include "scenarios/run/run_result.h"

namespace lightcone::scenarios {

std::string summary(const RunResult& result);

// Words for a reason: `waiting for HBM`, `tensor cores busy`.
std::string describe(CycleReason reason);

}  // namespace lightcone::scenarios
