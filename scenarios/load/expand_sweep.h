// SPDX-License-Identifier: Apache-2.0
// The points of a scenario's sweep: the axes crossed, each point a scenario of its own.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "scenarios/load/scenario.h"

namespace lightcone::scenarios {

inline constexpr std::size_t kMostSweepPoints = 1'000'000;

struct ScenarioPoint {
  std::vector<std::pair<std::string, std::string>> assignments;  // field path, value: in the order of the axes
  Scenario scenario;
};

// The last axis runs fastest. A scenario without a sweep is one point without assignments. Throws ConfigError: what
// load_scenario reports, an axis without values, an unknown path or a value that its field does not take (at the line
// of the axis), a path that two axes share or that `sets` also sets, more than kMostSweepPoints points.
std::vector<ScenarioPoint> expand_sweep(const std::string& path_or_catalog_name, const std::vector<std::string>& sets);

}  // namespace lightcone::scenarios
