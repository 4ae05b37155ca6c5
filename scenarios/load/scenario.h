// SPDX-License-Identifier: Apache-2.0
// A scenario, resolved and checked: every base and override applied, nothing left to look up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/spec/machine_spec.h"
#include "models/model_spec.h"
#include "workloads/plan_spec.h"
#include "workloads/workload_spec.h"

namespace lightcone::scenarios {

// An axis of a sweep: a field, and its values as --set takes them.
struct SweepAxis {
  std::string path;
  std::vector<std::string> values;
};

struct Scenario {
  std::string name;
  std::string description;
  models::ModelSpec model;
  hardware::MachineSpec machine;
  workloads::WorkloadSpec workload;
  workloads::PlanSpec plan;
  std::string resolved_text;    // canonical text format of everything resolved, without `base` and `sweep`
  std::vector<SweepAxis> axes;  // as the file gives them; not applied to this scenario
};

}  // namespace lightcone::scenarios
