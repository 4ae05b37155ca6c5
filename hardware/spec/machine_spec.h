// SPDX-License-Identifier: Apache-2.0
// A machine as checked plain numbers: its GPUs, all of one kind, and the fabric that joins them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hardware/spec/fabric_spec.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

struct MachineSpec {
  std::string name;
  GpuSpec gpu;
  std::uint32_t gpu_count = 1;       // as many as the fabric has
  std::optional<FabricSpec> fabric;  // absent: one GPU
  std::vector<ParameterSource> fabric_sources;
};

}  // namespace lightcone::hardware
