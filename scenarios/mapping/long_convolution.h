// SPDX-License-Identifier: Apache-2.0
// Long convolutions by Fourier transforms, and the filters of state spaces. Where the transform of one sequence and
// channel fits shared memory it stays there: one kernel transforms the filters, one convolves (H3, csrc/fftconv; as
// FlashFFTConv, Fu et al. 2023, without its matrix form). Longer ones go through memory in two passes each way, as
// cuFFT's do. Transforms are in fp32; sequences of a channel lie together.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

std::vector<hardware::TileProgram> fft_conv_programs(const models::FftConv& op, const hardware::GpuSpec& gpu);

// state-spaces/s4, extensions/kernels: a thread per tap or frequency sums over the states.
std::vector<hardware::TileProgram> state_filter_programs(const models::StateFilter& op, const hardware::GpuSpec& gpu);

}  // namespace lightcone::scenarios
