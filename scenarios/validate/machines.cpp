// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/machines.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "hardware/spec/load.h"
#include "hardware/spec/spec_hash.h"
#include "sim/base/error.h"
#include "sim/base/resources.h"
#include "sim/base/textproto_overlay.h"
#include "sim/base/textproto_path.h"

namespace lightcone::scenarios {

namespace {

// Overrides are written as in a scenario, where the machine is one of the parts.
std::string below_machine(const std::string& assignment) {
  const std::string prefix = "machine.";
  if (assignment.rfind(prefix, 0) != 0) {
    throw ConfigError("--set " + assignment +
                      ": only fields of the machine can be set here, such as machine.gpu.hbm.stacks=8");
  }
  return assignment.substr(prefix.size());
}

hardware::MachineSpec load(const std::string& name, const std::vector<std::string>& sets) {
  const std::string file = find_catalog_file("machine", hardware::kMachineCatalog, name);
  const auto message = hardware::new_machine_message();
  FieldLocations locations = load_over_base(file, *message, hardware::find_machine_base);
  for (const std::string& assignment : sets) apply_set(*message, locations, below_machine(assignment));
  return hardware::to_machine_spec(*message, locations);
}

std::unique_ptr<PredictionMachine> prediction_machine(const hardware::MachineSpec& spec) {
  auto machine = std::make_unique<PredictionMachine>();
  machine->gpu = spec.gpu;
  machine->gpu_hash = hardware::spec_hash(machine->gpu);
  return machine;
}

}  // namespace

Machines::Machines(const std::string& name, const std::vector<std::string>& sets) : automatic_(name == "auto") {
  if (!automatic_) {
    const hardware::MachineSpec machine = load(name, sets);
    machines_.push_back(prediction_machine(machine));
    if (machine.fabric) add_fabric(machine);
    return;
  }
  std::vector<hardware::MachineSpec> of_many;
  for (const std::string& entry : hardware::list_machines()) {
    hardware::MachineSpec machine = load(entry, sets);
    if (machine.gpu_count > 1) {  // its GPU is in the catalog by itself
      of_many.push_back(std::move(machine));
    } else {
      machines_.push_back(prediction_machine(machine));
    }
  }
  for (const hardware::MachineSpec& machine : of_many) add_fabric(machine);
}

// Electrical machines alone: collectives were measured on what could be bought.
void Machines::add_fabric(const hardware::MachineSpec& machine) {
  constexpr std::uint32_t kMostGpus = 1024;
  const auto& links = machine.fabric->links;
  const bool bought = std::none_of(links.begin(), links.end(), [](const hardware::LinkSpec& l) { return l.optics; });
  if (!bought || machine.gpu_count > kMostGpus) return;
  for (const auto& own : machines_) {
    if (own->gpu.name != machine.gpu.name) continue;
    auto fabric = std::make_unique<PredictionFabric>(
        PredictionFabric{machine.name, hardware::MachineGraph(*machine.fabric), hardware::spec_hash(*machine.fabric)});
    const auto larger = [&](const auto& other) { return other->graph.gpu_count() > fabric->graph.gpu_count(); };
    own->fabrics.insert(std::find_if(own->fabrics.begin(), own->fabrics.end(), larger), std::move(fabric));
  }
}

const PredictionMachine* Machines::by_alias(const std::string& gpu) const {
  for (const auto& machine : machines_) {
    const std::vector<std::string>& aliases = machine->gpu.aliases;
    if (machine->gpu.name == gpu || std::find(aliases.begin(), aliases.end(), gpu) != aliases.end()) {
      return machine.get();
    }
  }
  return nullptr;
}

const PredictionMachine* Machines::find(const std::string& gpu) const {
  return automatic_ ? by_alias(gpu) : machines_.front().get();
}

bool Machines::measured_on(const std::string& gpu) const { return by_alias(gpu) != nullptr; }

}  // namespace lightcone::scenarios
