// SPDX-License-Identifier: Apache-2.0
// The machines that measured rows run on: one named by the user, or, for each row, the catalog machine whose aliases
// hold the row's `gpu`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hardware/spec/machine_spec.h"
#include "scenarios/validate/predict.h"

namespace lightcone::scenarios {

class Machines {
 public:
  // `name`: "auto", a catalog name or a path. `sets`: overrides `machine.gpu...=value`, for every machine.
  // Throws ConfigError.
  Machines(const std::string& name, const std::vector<std::string>& sets);

  // The machine for a row's `gpu`; nullptr when there is none. A machine named by the user takes every row.
  [[nodiscard]] const PredictionMachine* find(const std::string& gpu) const;
  // Whether the row was measured on this machine: its aliases or its name hold `gpu`.
  [[nodiscard]] bool measured_on(const std::string& gpu) const;

 private:
  void add_fabric(const hardware::MachineSpec& machine);
  [[nodiscard]] const PredictionMachine* by_alias(const std::string& gpu) const;

  bool automatic_;
  std::vector<std::unique_ptr<PredictionMachine>> machines_;
};

}  // namespace lightcone::scenarios
