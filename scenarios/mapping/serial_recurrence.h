// SPDX-License-Identifier: Apache-2.0
// LSTM and sLSTM as one persistent kernel (Diamos et al. 2016, Persistent RNNs; FlashRNN, Poeppel et al. 2024): every
// CTA keeps the recurrent weights of some outputs in shared memory over all tokens; after each token the CTAs of the
// grid wait for one another and read the whole output back from the L2 cache. Weights that the shared memories of the
// GPU do not hold are read again from the L2 cache for every token. Where a head's weights fit one SM no CTA waits.
#pragma once

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// Throws ConfigError when the states of the sequences do not fit a CTA.
hardware::TileProgram serial_recurrence_program(const models::SerialRecurrence& op, const hardware::GpuSpec& gpu);

}  // namespace lightcone::scenarios
