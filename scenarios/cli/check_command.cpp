// SPDX-License-Identifier: Apache-2.0
// `check FILE`: every fault of a file at its line, without running anything.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "hardware/spec/load.h"
#include "models/load.h"
#include "scenarios/cli/catalog_entry.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/expand_sweep.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "sim/base/error.h"
#include "workloads/load.h"

namespace lightcone::scenarios {

namespace {

using Json = nlohmann::ordered_json;

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

// Line and column are left out where a fault belongs to a file as a whole, the file where it belongs to none.
Json faults_json(const ConfigError& error) {
  Json faults = Json::array();
  for (const Diagnostic& fault : error.diagnostics()) {
    Json one;
    if (!fault.where.file.empty()) one["file"] = fault.where.file;
    if (fault.where.line > 0) one["line"] = fault.where.line;
    if (fault.where.line > 0) one["column"] = fault.where.column;
    if (!fault.field.empty()) one["field"] = fault.field;
    one["message"] = fault.message;
    faults.push_back(std::move(one));
  }
  return faults;
}

std::string text_of(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

int check_command(const Options& options) {
  const std::string& file = options.inputs.front();
  Json answer{{"file", file}};
  try {
    const EntryKind kind = find_entry(file);
    answer["kind"] = name(kind);
    const std::string verdict = kind == EntryKind::scenario ? check_scenario(options) : check_part(kind, options);
    answer["verdict"] = verdict;
    answer["faults"] = Json::array();
    print(options.json ? text_of(answer) : fmt::format("{}: a {}, {}\n", file, name(kind), verdict));
    return 0;
  } catch (const ConfigError& error) {
    if (!options.json) throw;
    answer["verdict"] = "faults";
    answer["faults"] = faults_json(error);
    print(text_of(answer));
    return 2;
  }
}

}  // namespace lightcone::scenarios
