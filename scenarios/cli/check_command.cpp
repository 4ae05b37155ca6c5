// SPDX-License-Identifier: Apache-2.0
// `check FILE`: every fault of a file at its line, without running anything.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <string>

#include "hardware/spec/load.h"
#include "models/load.h"
#include "scenarios/cli/catalog_entry.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/expand_sweep.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "workloads/load.h"

namespace lightcone::scenarios {

namespace {

// What is fine, in a few words. Throws ConfigError with everything that is not.
std::string check_scenario(const Options& options) {
  const std::vector<ScenarioPoint> points = expand_sweep(options.inputs.front(), options.overrides);
  for (const ScenarioPoint& point : points) {
    const PassInput input = make_pass_input(point.scenario, {});
    if (points.size() == 1) check_memory(input.memory, input.gpu.hbm.capacity, input.gpu.name);
  }
  return points.size() == 1 ? "no fault" : fmt::format("no fault, {} points", points.size());
}

std::string check_part(EntryKind kind, const Options& options) {
  const LoadedPart part = load_part(kind, options.inputs.front(), options.overrides);
  if (kind == EntryKind::model) (void)models::to_model_spec(*part.message, part.locations);
  if (kind == EntryKind::machine) (void)hardware::to_machine_spec(*part.message, part.locations);
  if (kind == EntryKind::workload) (void)workloads::to_workload_spec(*part.message, part.locations);
  return "no fault";
}

}  // namespace

int check_command(const Options& options) {
  const EntryKind kind = find_entry(options.inputs.front());
  const std::string verdict = kind == EntryKind::scenario ? check_scenario(options) : check_part(kind, options);
  if (options.json) {
    print(nlohmann::ordered_json{{"file", options.inputs.front()}, {"kind", name(kind)}, {"verdict", verdict}}.dump(2) +
          "\n");
  } else {
    print(fmt::format("{}: a {}, {}\n", options.inputs.front(), name(kind), verdict));
  }
  return 0;
}

}  // namespace lightcone::scenarios
