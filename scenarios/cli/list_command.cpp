// SPDX-License-Identifier: Apache-2.0
// `list WHAT`: one line per entry of a catalog.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "hardware/spec/load.h"
#include "models/families/model_graph.h"
#include "models/graph/operator.h"
#include "models/load.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/load_scenario.h"
#include "workloads/load.h"

namespace lightcone::scenarios {

namespace {

using Entry = std::pair<std::string, std::string>;  // name, one line about it

// A broken file must not hide the others.
template <class Describe>
std::vector<Entry> entries(const std::vector<std::string>& names, Describe describe) {
  std::vector<Entry> list;
  for (const std::string& name : names) {
    try {
      list.emplace_back(name, describe(name));
    } catch (const std::exception&) {
      list.emplace_back(name, "has faults: see `check`");
    }
  }
  return list;
}

std::string model_line(const std::string& name) {
  const models::ModelSpec model = models::load_model(name);
  return fmt::format("{}, {:.2f} B parameters", model.name, static_cast<double>(models::parameter_count(model)) * 1e-9);
}

std::string machine_line(const std::string& name) {
  const hardware::MachineSpec machine = hardware::load_machine(name);
  const hardware::GpuSpec& gpu = machine.gpu;
  const std::string count = machine.gpu_count > 1 ? fmt::format("{} x ", machine.gpu_count) : "";
  return fmt::format("{}{}, {} SMs, {} {:.2f} TB/s", count, gpu.name, gpu.sm_count, gpu.hbm.generation,
                     gpu.hbm.peak().count() * 1e-12);
}

std::string workload_line(const std::string& name) {
  const workloads::WorkloadSpec workload = workloads::load_workload(name);
  return fmt::format("{}, batch {}, {} tokens attended", workloads::phase_name(workload), workloads::batch(workload),
                     workloads::attended_tokens(workload));
}

std::string scenario_line(const std::string& name) {
  const Scenario scenario = load_scenario(name, {});
  if (!scenario.description.empty()) return scenario.description;
  return fmt::format("{}, {} on {}", scenario.model.name, workloads::phase_name(scenario.workload),
                     scenario.machine.name);
}

std::vector<Entry> operators() {
  std::vector<Entry> list;
  for (const models::OperatorKind& kind : models::operator_kinds()) list.emplace_back(kind.name, kind.meaning);
  return list;
}

std::vector<Entry> entries_of(const std::string& what) {
  if (what == "models") return entries(models::list_models(), model_line);
  if (what == "machines") return entries(hardware::list_machines(), machine_line);
  if (what == "workloads") return entries(workloads::list_workloads(), workload_line);
  if (what == "scenarios") return entries(list_scenarios(), scenario_line);
  return operators();
}

}  // namespace

int list_command(const Options& options) {
  const std::vector<Entry> list = entries_of(options.inputs.front());
  if (options.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const auto& [name, about] : list) json.push_back({{"name", name}, {"about", about}});
    print(json.dump(2) + "\n");
    return 0;
  }
  for (const auto& [name, about] : list) print(fmt::format("{:28} {}\n", name, about));
  return 0;
}

}  // namespace lightcone::scenarios
