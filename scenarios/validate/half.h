// SPDX-License-Identifier: Apache-2.0
// Two halves of the measured points: one to calibrate constants on, one held out to tell how far predictions are from
// what they were not tuned to.
#pragma once

#include <cstdint>

#include "scenarios/run/validation_table.h"
#include "scenarios/validate/measured_row.h"

namespace lightcone::scenarios {

// By a hash of op and sizes, never of the order of rows: a shape lies in one half on every GPU, in every number format
// and under every library, so that the held-out half holds no near copy of a point of the other.
MeasuredHalf half_of(const OperatingPoint& point);

}  // namespace lightcone::scenarios
