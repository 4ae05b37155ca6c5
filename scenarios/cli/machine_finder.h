// SPDX-License-Identifier: Apache-2.0
// The machine of a measured row: the one named by --machine, or the catalog machine whose aliases hold the row's GPU.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "scenarios/validate/predict.h"

namespace lightcone::scenarios {

class MachineFinder {
 public:
  // `choice`: a machine by catalog name or path, or "auto". Throws ConfigError when it is not known.
  explicit MachineFinder(const std::string& choice);

  // nullptr when no machine has this alias.
  [[nodiscard]] const PredictionMachine* find(const std::string& gpu) const;
  // GPU as the data names it -> as the machine file names it.
  [[nodiscard]] const std::map<std::string, std::string>& names() const { return names_; }

 private:
  void add(const hardware::GpuSpec& gpu);

  std::unique_ptr<PredictionMachine> only_;
  std::map<std::string, std::shared_ptr<PredictionMachine>> by_alias_;
  std::map<std::string, std::string> names_;
};

}  // namespace lightcone::scenarios
