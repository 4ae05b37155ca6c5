// SPDX-License-Identifier: Apache-2.0
// The small kernels around the products of experts: the choice of the experts, the order of the rows, the copy into
// that order and the weighted sum. A row is moved by one CTA.
//   Choice: a warp per row (vLLM's topk_softmax, TensorRT-LLM's renormalised routing) keeps the row in registers and
//   finds the largest value k times; rows above 1024 values take a CTA.
//   Order: counts per expert, their running sum, the place of each index. One CTA does it all for few rows; more go
//   through a second kernel that places them, with one atomic per row (vLLM: moe_align_block_size and
//   count_and_sort_expert_tokens; TensorRT-LLM: threeStepBuildExpertMapsSortFirstToken).
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

hardware::TileProgram top_k_program(const models::TopK& op);
// The order, and the copy of the rows unless the order is all that is asked for.
std::vector<hardware::TileProgram> gather_rows_programs(const models::GatherRows& op);
hardware::TileProgram combine_rows_program(const models::CombineRows& op);

}  // namespace lightcone::scenarios
