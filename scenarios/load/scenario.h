// SPDX-License-Identifier: Apache-2.0
// A scenario, resolved and checked: every base and override applied, nothing left to look up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/spec/gpu_spec.h"
#include "models/model_spec.h"
#include "workloads/workload_spec.h"

namespace lightcone::scenarios {

// How the model is divided over the GPUs. Only one GPU is modelled so far.
struct Plan {
  std::uint32_t tensor_parallel = 1;
};

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
  Plan plan;
  std::string resolved_text;    // canonical text format of everything resolved, without `base` and `sweep`
  std::vector<SweepAxis> axes;  // as the file gives them; not applied to this scenario
};

}  // namespace lightcone::scenarios
