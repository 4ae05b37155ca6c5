// SPDX-License-Identifier: Apache-2.0
#include "scenarios/load/expand_sweep.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "scenarios/load/scenario_document.h"

namespace lightcone::scenarios {
namespace {

std::string axis_field(std::size_t index) { return element_path("sweep.axis", static_cast<int>(index)); }

// Faults of the axes as a whole; those of single values appear when the points are resolved.
void check_axes(const ScenarioDocument& document, const std::vector<SweepAxis>& axes, std::vector<Diagnostic>& faults) {
  std::set<std::string> seen, set_paths;
  for (const Assignment& set : document.sets()) set_paths.insert(set.path);
  std::size_t points = 1;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::string field = join_path(axis_field(i), "path");
    const auto fault = [&](std::string text) {
      faults.push_back(document.locations().diagnostic(field, std::move(text)));
    };
    const std::string& path = axes[i].path;
    if (!seen.insert(path).second) fault(fmt::format("{} has an axis already", path));
    if (set_paths.count(path) != 0) fault(fmt::format("--set {} would be overwritten by this axis", path));
    for (const char* own : {"sweep", "name", "description", "base"}) {
      if (path == own || path.rfind(std::string(own) + ".", 0) == 0) fault(fmt::format("{} cannot be swept", path));
    }
    if (points <= kMostSweepPoints) points *= std::max<std::size_t>(1, axes[i].values.size());
  }
  if (points > kMostSweepPoints)
    faults.push_back(
        document.locations().diagnostic("sweep", fmt::format("has more than {} points", kMostSweepPoints)));
}

// Which value of each axis point `index` has.
std::vector<std::size_t> choice(const std::vector<SweepAxis>& axes, std::size_t index) {
  std::vector<std::size_t> out(axes.size());
  for (std::size_t i = axes.size(); i-- > 0;) {
    out[i] = index % axes[i].values.size();
    index /= axes[i].values.size();
  }
  return out;
}

ScenarioPoint point_of(const ScenarioDocument& document, const std::vector<SweepAxis>& axes, std::size_t index) {
  ScenarioPoint out;
  std::vector<Assignment> assignments = document.sets();
  const std::vector<std::size_t> chosen = choice(axes, index);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::string& value = axes[i].values[chosen[i]];
    out.assignments.emplace_back(axes[i].path, value);
    assignments.push_back({axes[i].path, value, document.locations().origin(axis_field(i))});
  }
  out.scenario = document.resolve(assignments);
  return out;
}

// The same fault shows up at many points: once is enough.
void append_new(std::vector<Diagnostic>& faults, std::set<std::string>& seen, const ConfigError& error) {
  for (const Diagnostic& fault : error.diagnostics()) {
    if (seen.insert(fault.text()).second) faults.push_back(fault);
  }
}

}  // namespace

std::vector<ScenarioPoint> expand_sweep(const std::string& path_or_catalog_name, const std::vector<std::string>& sets) {
  const ScenarioDocument document(path_or_catalog_name, sets);
  std::vector<Diagnostic> faults;
  const std::vector<SweepAxis> axes = document.axes(faults);
  check_axes(document, axes, faults);
  if (!faults.empty()) throw ConfigError(std::move(faults));
  std::size_t count = 1;
  for (const SweepAxis& axis : axes) count *= axis.values.size();
  std::vector<ScenarioPoint> points;
  std::set<std::string> seen;
  constexpr std::size_t kShownFaults = 20;
  for (std::size_t i = 0; i < count && faults.size() < kShownFaults; ++i) {
    try {
      points.push_back(point_of(document, axes, i));
    } catch (const ConfigError& error) {
      append_new(faults, seen, error);
    }
  }
  if (!faults.empty()) throw ConfigError(std::move(faults));
  return points;
}

}  // namespace lightcone::scenarios
