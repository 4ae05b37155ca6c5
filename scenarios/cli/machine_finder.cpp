// SPDX-License-Identifier: Apache-2.0
#include "scenarios/cli/machine_finder.h"

#include "hardware/spec/load.h"
#include "hardware/spec/spec_hash.h"

namespace lightcone::scenarios {

MachineFinder::MachineFinder(const std::string& choice) {
  if (choice != "auto") {
    const hardware::GpuSpec gpu = hardware::load_machine(choice).gpu;
    only_ = std::make_unique<PredictionMachine>(PredictionMachine{gpu, hardware::spec_hash(gpu)});
    return;
  }
  for (const std::string& name : hardware::list_machines()) add(hardware::load_machine(name).gpu);
}

void MachineFinder::add(const hardware::GpuSpec& gpu) {
  const auto machine = std::make_shared<PredictionMachine>(PredictionMachine{gpu, hardware::spec_hash(gpu)});
  for (const std::string& alias : gpu.aliases) {
    by_alias_[alias] = machine;
    names_[alias] = gpu.name;
  }
}

const PredictionMachine* MachineFinder::find(const std::string& gpu) const {
  if (only_) return only_.get();
  const auto found = by_alias_.find(gpu);
  return found == by_alias_.end() ? nullptr : found->second.get();
}

}  // namespace lightcone::scenarios
