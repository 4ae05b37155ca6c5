// SPDX-License-Identifier: Apache-2.0
#include "scenarios/load/scenario_document.h"

#include <fmt/core.h>
#include <google/protobuf/text_format.h>

#include <cmath>
#include <filesystem>
#include <iterator>
#include <utility>

#include "hardware/spec/load.h"
#include "models/load.h"
#include "scenarios/load/expand_sweep.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/scenario.pb.h"
#include "sim/base/message_reader.h"
#include "sim/base/resources.h"
#include "sim/base/textproto_overlay.h"
#include "workloads/load.h"
#include "workloads/plan_rules.h"

namespace lightcone::scenarios {
namespace {

namespace pb = google::protobuf;

std::string find_scenario_base(const std::string& name, const FieldOrigin& where) {
  try {
    const std::string folder = std::filesystem::path(where.where().file).parent_path().string();
    return find_catalog_file("scenario", kScenarioCatalog, name, folder);
  } catch (const ConfigError& error) {
    throw ConfigError({where.diagnostic("base", error.what())});
  }
}

// Whether the assignment decides which files are read, and so must come before them.
bool chooses_base(const std::string& path) {
  for (const char* part : {"model", "machine", "workload"}) {
    if (path == part || path == join_path(part, "base")) return true;
  }
  return false;
}

void append(std::vector<Diagnostic>& faults, const ConfigError& error) {
  const std::vector<Diagnostic>& more = error.diagnostics();
  faults.insert(faults.end(), more.begin(), more.end());
}

void resolve_part(proto::Scenario& scenario, FieldLocations& locations, const std::string& part,
                  const FindBase& find_base, std::vector<Diagnostic>& faults) {
  const pb::FieldDescriptor* field = proto::Scenario::descriptor()->FindFieldByName(part);
  const pb::Reflection& reflection = *scenario.GetReflection();
  if (!reflection.HasField(scenario, field)) return;
  try {
    FieldLocations inner = locations.below(part);
    resolve_base(*reflection.MutableMessage(&scenario, field), inner, find_base);
    locations.erase(part);
    locations.adopt(part, inner, "");
  } catch (const ConfigError& error) {
    append(faults, error);
  }
}

void assign(proto::Scenario& scenario, FieldLocations& locations, const std::vector<Assignment>& assignments,
            bool bases, std::vector<Diagnostic>& faults) {
  for (const Assignment& set : assignments) {
    if (set.path != "base" && chooses_base(set.path) == bases)
      set_by_path(scenario, locations, set.path, set.value, set.origin, faults);
  }
}

// Calls `convert` and keeps its faults; a part that the scenario does not give is a fault too.
template <typename Spec, typename Convert>
void read_part(const proto::Scenario& scenario, const FieldLocations& locations, const std::string& part,
               const Convert& convert, Spec& out, std::vector<Diagnostic>& faults) {
  const pb::FieldDescriptor* field = proto::Scenario::descriptor()->FindFieldByName(part);
  if (!scenario.GetReflection()->HasField(scenario, field)) {
    faults.push_back(locations.diagnostic(part, fmt::format("is missing; write {} {{ base: \"...\" }}", part)));
    return;
  }
  try {
    out = convert(scenario.GetReflection()->GetMessage(scenario, field), locations.below(part));
  } catch (const ConfigError& error) {
    append(faults, error);
  }
}

workloads::PlanSpec read_plan(const proto::Scenario& scenario, const FieldLocations& locations,
                              std::vector<Diagnostic>& faults) {
  if (!scenario.has_plan()) return {};
  try {
    return workloads::to_plan_spec(scenario.plan(), locations.below("plan"));
  } catch (const ConfigError& error) {
    append(faults, error);
  }
  return {};
}

std::string machines_with(std::uint64_t gpus) {
  std::string out;
  for (const std::string& name : hardware::list_machines()) {
    if (hardware::load_machine(name).gpu_count >= gpus) out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

// Every rule that the plan breaks, at its line.
void check_plan(const Scenario& scenario, const FieldLocations& locations, std::vector<Diagnostic>& faults) {
  const std::uint64_t gpus = scenario.plan.gpus(), there = scenario.machine.gpu_count;
  if (scenario.plan.automatic) {
    if (!std::holds_alternative<workloads::Training>(scenario.workload.phase))
      faults.push_back(locations.diagnostic("plan.auto", "searches plans of training steps only"));
    return;
  }
  if (there == 1 && gpus > 1) {
    faults.push_back(locations.diagnostic(
        "plan",
        fmt::format("is for {} GPUs, but {} is one GPU without a fabric; machines of the catalog with as many: {}",
                    gpus, scenario.machine.name, machines_with(gpus))));
    return;
  }
  for (const workloads::PlanFault& fault :
       workloads::plan_faults(scenario.plan, scenario.model, scenario.workload, there)) {
    faults.push_back(locations.diagnostic(join_path("plan", fault.field), fault.message));
  }
}

// Fields in the order of the schema, one per line: equal scenarios have equal texts. Loads again as a scenario.
std::string canonical_text(const proto::Scenario& scenario, const std::string& name) {
  proto::Scenario copy = scenario;
  copy.set_name(name);
  copy.clear_sweep();
  std::string text;
  pb::TextFormat::PrintToString(copy, &text);
  return text;
}

std::string number_text(double value) {
  const bool whole = std::floor(value) == value && std::abs(value) < 9e15;
  return whole ? fmt::format("{}", static_cast<std::int64_t>(value)) : fmt::format("{:.12g}", value);
}

// from, from + step, ... up to `to`; a value that misses `to` by rounding alone counts as meeting it.
std::vector<std::string> range_values(const MessageReader& axis) {
  const RealBounds any{-1e300, true, 1e300};
  const double from = axis.real("from", any), to = axis.real("to", any);
  const double step = axis.has("step") ? axis.real("step") : 1;
  if (!axis.has("from") || !axis.has("to")) return {};
  if (to < from) {
    axis.fault("to", fmt::format("must not be below from, {} < {}", number_text(to), number_text(from)));
    return {};
  }
  const double steps = std::floor((to - from) / step + 1e-9);
  if (!(steps < static_cast<double>(kMostSweepPoints))) {
    axis.fault("step", fmt::format("gives more than {} values", kMostSweepPoints));
    return {};
  }
  std::vector<std::string> out;
  for (int i = 0; i <= static_cast<int>(steps); ++i) out.push_back(number_text(from + i * step));
  return out;
}

std::vector<std::string> axis_values(const MessageReader& axis) {
  const bool range = axis.has("from") || axis.has("to") || axis.has("step");
  if (!axis.has("values")) {
    if (range) return range_values(axis);
    axis.fault("values", "is missing; give values: [\"4\", \"8\"], or from, to and step");
    return {};
  }
  if (range) axis.fault("values", "stands beside from, to or step; an axis takes the one or the other");
  return axis.texts("values");
}

}  // namespace

ScenarioDocument::ScenarioDocument(const std::string& path_or_catalog_name, const std::vector<std::string>& sets)
    : file_(find_catalog_file("scenario", kScenarioCatalog, path_or_catalog_name)),
      message_(std::make_unique<proto::Scenario>()) {
  std::vector<Diagnostic> faults;
  for (const std::string& set : sets) {
    try {
      sets_.push_back(parse_assignment(set));
      if (sets_.back().path == "base")
        throw ConfigError("--set base: a scenario's own base cannot be exchanged; run that file instead");
    } catch (const ConfigError& error) {
      append(faults, error);
    }
  }
  try {
    locations_ = load_over_base(file_, *message_, find_scenario_base);
  } catch (const ConfigError& error) {
    append(faults, error);
  }
  if (!faults.empty()) throw ConfigError(std::move(faults));
}

ScenarioDocument::~ScenarioDocument() = default;

std::vector<SweepAxis> ScenarioDocument::axes(std::vector<Diagnostic>& faults) const {
  std::vector<SweepAxis> out;
  const MessageReader from(message_.get(), locations_, faults);
  if (!from.has("sweep")) return out;
  for (const MessageReader& axis : from.child("sweep").children("axis")) {
    out.push_back({axis.text("path"), axis_values(axis)});
  }
  return out;
}

Scenario ScenarioDocument::resolve(const std::vector<Assignment>& assignments) const {
  proto::Scenario scenario = static_cast<const proto::Scenario&>(*message_);
  FieldLocations locations = locations_;
  std::vector<Diagnostic> faults;
  assign(scenario, locations, assignments, true, faults);
  resolve_part(scenario, locations, "model", models::find_model_base, faults);
  resolve_part(scenario, locations, "machine", hardware::find_machine_base, faults);
  resolve_part(scenario, locations, "workload", workloads::find_workload_base, faults);
  const bool complete = faults.empty();
  assign(scenario, locations, assignments, false, faults);
  Scenario out;
  const MessageReader from(&scenario, locations, faults);
  out.name = from.text_or("name", std::filesystem::path(file_).stem().string());
  out.description = from.text_or("description", "");
  out.plan = read_plan(scenario, locations, faults);
  if (complete) {  // else half of every part would be reported as missing
    read_part(scenario, locations, "model", models::to_model_spec, out.model, faults);
    read_part(scenario, locations, "machine", hardware::to_machine_spec, out.machine, faults);
    read_part(scenario, locations, "workload", workloads::to_workload_spec, out.workload, faults);
    if (faults.empty()) check_plan(out, locations, faults);
  }
  out.axes = axes(faults);
  if (!faults.empty()) throw ConfigError(std::move(faults));
  out.resolved_text = canonical_text(scenario, out.name);
  return out;
}

}  // namespace lightcone::scenarios
