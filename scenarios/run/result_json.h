// SPDX-License-Identifier: Apache-2.0
// A run result as JSON (`result.json`, `run --json`): keys in a fixed order, units in the keys.
#pragma once

#include <string>

#include "scenarios/run/run_result.h"

namespace lightcone::scenarios {

std::string to_json(const RunResult& result);

}  // namespace lightcone::scenarios
