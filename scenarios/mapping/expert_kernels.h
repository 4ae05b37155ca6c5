// SPDX-License-Identifier: Apache-2.0
// The small kernels around the products of experts: the choice of the experts, the order of the rows, the copy into
// that order and the weighted sum. A row is moved by one CTA.
//   Choice: a warp per row (vLLM's topk_softmax, TensorRT-LLM's renormalised routing) keeps the row in registers and
//   finds the largest value k times; rows above 1024 values take a CTA.
//   Order: counts per expert, their running sum, the place of each index. vLLM and SGLang
//   count in one CTA and place in a second kernel with one atomic per row (moe_align_block_size and
//   count_and_sort_expert_tokens). TensorRT-LLM does it all in one CTA for few rows, else counts, sums up and places in
//   three kernels of many CTAs (threeStepBuildExpertMapsSortFirstToken).
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

hardware::TileProgram top_k_program(const models::TopK& op);
// The order, unless it is given, and the copy of the rows unless the order is all that is asked for.
std::vector<hardware::TileProgram> gather_rows_programs(const models::GatherRows& op, KernelLibrary library);
hardware::TileProgram combine_rows_program(const models::CombineRows& op);

}  // namespace lightcone::scenarios
