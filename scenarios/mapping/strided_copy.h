// SPDX-License-Identifier: Apache-2.0
// PyTorch's copy of a tensor that does not lie as its target does (a transposed view made contiguous): CTAs of 128
// threads, four single values each, and for every value the division of its index by every dimension.
// Source: pytorch, aten/src/ATen/native/cuda/CUDALoops.cuh (elementwise_kernel<128, 4>) and
// aten/src/ATen/cuda/detail/OffsetCalculator.cuh. Not modelled: partly used sectors of short rows.
#pragma once

#include "hardware/program/tile_program.h"
#include "sim/base/number_format.h"

namespace lightcone::scenarios {

// `dimensions`: those left after neighbouring ones are merged.
hardware::TileProgram strided_copy_program(std::uint64_t elements, NumberFormat format, std::uint64_t dimensions);

}  // namespace lightcone::scenarios
