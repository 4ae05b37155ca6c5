// SPDX-License-Identifier: Apache-2.0
// Scenario files (scenarios/scenario.proto, those that ship in scenarios/files) to checked plain structs. All faults
// are reported together, each at the line of its field, in whichever file of the chain that is.
#pragma once

#include <string>
#include <vector>

#include "scenarios/load/scenario.h"

namespace lightcone::scenarios {

inline constexpr const char* kScenarioCatalog = "scenarios/files";

// A scenario by catalog name (`llama3_8b_h100`) or by path. Its own chain of bases is resolved first, then that of
// each part (model, machine, workload); what a derived file gives wins. `sets` ("path=value") come last, except those
// that choose a base ("machine=a100_sxm_80gb"), which come before the bases are looked up. Throws ConfigError.
Scenario load_scenario(const std::string& path_or_catalog_name, const std::vector<std::string>& sets);

// The names of the scenarios that ship, sorted.
std::vector<std::string> list_scenarios();

}  // namespace lightcone::scenarios
