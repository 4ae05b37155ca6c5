// SPDX-License-Identifier: Apache-2.0
// Mamba-1. Prefill: csrc/selective_scan of state-spaces/mamba, one CTA per channel of a sequence, blocks of up to 2048
// tokens, in each a loop over the states with one block-wide scan; B and C are read again by every channel (L2).
// Decode: mamba_ssm's Triton selective_state_update, one CTA per few channels. Not modelled: the pairs that training
// keeps.
#pragma once

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// Throws ConfigError when a size is zero or the grid exceeds 2^32 CTAs.
hardware::TileProgram selective_scan_program(const models::SelectiveScan& op);

}  // namespace lightcone::scenarios
