// SPDX-License-Identifier: Apache-2.0
// What precedes a quantisation whose scale is not known beforehand: a memset of the scale and a kernel that finds the
// largest absolute value, both as vLLM (segmented_max_reduction_strided: one CTA of 256 threads per row) and
// TensorRT-LLM (computeFP8QuantizeScale: 1024 CTAs of 1024 threads, whatever the size) write them: single values per
// load, and one atomic maximum per CTA at one address.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// A memset of a few bytes.
hardware::TileProgram memset_program(std::uint64_t bytes);

// In launch order. `op` is a quantisation with `dynamic_scale`; `op.row` is used where the kernel goes row by row.
std::vector<hardware::TileProgram> dynamic_scale_programs(const models::Elementwise& op, KernelLibrary library);

}  // namespace lightcone::scenarios
