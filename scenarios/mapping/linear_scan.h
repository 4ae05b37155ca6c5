// SPDX-License-Identifier: Apache-2.0
// h[t] = a[t] h[t-1] + b[t] for each channel (RG-LRU, HGRN, minGRU), as a linear scan: a CTA per 128 channels of a
// sequence, a thread per channel, blocks of tokens copied ahead into shared memory. Griffin (De et al. 2024) finds this
// form faster than an associative scan, as it touches memory once.
#pragma once

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// Throws ConfigError when a size is zero or the grid exceeds 2^32 CTAs.
hardware::TileProgram linear_scan_program(const models::LinearScan& op);

}  // namespace lightcone::scenarios
