// SPDX-License-Identifier: Apache-2.0
// Kernels that prepare the choice of keys: pooling of blocks, bounds of pages, sorting by bucket.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// A CTA per block and up to 1024 columns, which goes down the block in pieces of 32 rows (fla/ops/nsa/compression.py,
// the mean pooling of MoBA and Quest's page bounds alike).
hardware::TileProgram pool_rows_program(const models::PoolRows& op);

// A CTA per query head and 64 pages (Quest, kernels/include/decode/decode_page.cuh: estimation of the attention score).
hardware::TileProgram page_scores_program(const models::PageScores& op);

// Rows of up to 4096 keys are sorted within a CTA each; longer ones all together by the number of the row and the key
// (PyTorch, aten/src/ATen/native/cuda/Sort.cu), in passes of 8 bits over memory (Adinets & Merrill 2022, Onesweep).
std::vector<hardware::TileProgram> sort_programs(const models::Sort& op);

}  // namespace lightcone::scenarios
