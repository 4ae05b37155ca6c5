// SPDX-License-Identifier: Apache-2.0
// The identity of a GPU for the kernel store: a hash over every number that an evaluator reads. Names, aliases and
// sources do not count.
#pragma once

#include <string>

#include "hardware/spec/fabric_spec.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

std::string spec_hash(const GpuSpec& gpu);

// The same of a fabric.
std::string spec_hash(const FabricSpec& fabric);

}  // namespace lightcone::hardware
