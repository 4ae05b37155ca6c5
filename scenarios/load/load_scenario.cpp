// SPDX-License-Identifier: Apache-2.0
#include "scenarios/load/load_scenario.h"

#include "scenarios/load/scenario_document.h"
#include "sim/base/resources.h"

namespace lightcone::scenarios {

Scenario load_scenario(const std::string& path_or_catalog_name, const std::vector<std::string>& sets) {
  const ScenarioDocument document(path_or_catalog_name, sets);
  return document.resolve(document.sets());
}

std::vector<std::string> list_scenarios() { return catalog_names(kScenarioCatalog); }

}  // namespace lightcone::scenarios
