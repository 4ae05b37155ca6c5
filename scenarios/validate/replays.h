// SPDX-License-Identifier: Apache-2.0
// How often a benchmark loop ran what it measured between its two events: short loops share out the time from the
// opening event to the first kernel among few calls.
#pragma once

#include <cstdint>

#include "scenarios/mapping/map_operator.h"
#include "scenarios/validate/measured_row.h"

namespace lightcone::scenarios {

// Calls between the two events of one measurement; 0: so many that it does not matter, or not known.
std::uint32_t calls_measured(const OperatingPoint& point, KernelLibrary library);

}  // namespace lightcone::scenarios
