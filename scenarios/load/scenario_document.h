// SPDX-License-Identifier: Apache-2.0
// The scenario message while it is being resolved: what load_scenario and expand_sweep share. The message keeps the
// origin of every value, so that a fault in meaning points at its line even when a base file gave the value.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "scenarios/load/scenario.h"
#include "sim/base/field_locations.h"
#include "sim/base/textproto_path.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace lightcone::scenarios {

class ScenarioDocument {
 public:
  // Reads the file and its own chain of bases; those of the parts stay named. `sets` may choose the scenario's base.
  ScenarioDocument(const std::string& path_or_catalog_name, const std::vector<std::string>& sets);
  ~ScenarioDocument();
  ScenarioDocument(const ScenarioDocument&) = delete;
  ScenarioDocument& operator=(const ScenarioDocument&) = delete;

  [[nodiscard]] const google::protobuf::Message& message() const { return *message_; }
  [[nodiscard]] const FieldLocations& locations() const { return locations_; }
  [[nodiscard]] const std::vector<Assignment>& sets() const { return sets_; }

  // The axes of the sweep, ranges written out. Appends faults.
  [[nodiscard]] std::vector<SweepAxis> axes(std::vector<Diagnostic>& faults) const;

  // The scenario with `assignments`, then resolved and checked. Throws ConfigError with every fault.
  [[nodiscard]] Scenario resolve(const std::vector<Assignment>& assignments) const;

 private:
  std::string file_;
  std::vector<Assignment> sets_;
  std::unique_ptr<google::protobuf::Message> message_;
  FieldLocations locations_;
};

}  // namespace lightcone::scenarios
