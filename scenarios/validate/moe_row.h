// SPDX-License-Identifier: Apache-2.0
// Measured layers of experts -> their operators.
#pragma once

#include "scenarios/validate/row_to_operator.h"

namespace lightcone::scenarios {

// Op "moe". Throws Unsupported (row_parts.h) with the reason when the layer's kernels have no tile program.
MappedPoint moe_layer(const OperatingPoint& point);

}  // namespace lightcone::scenarios
