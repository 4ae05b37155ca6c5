// SPDX-License-Identifier: Apache-2.0
// Chunked linear attention as libraries launch it, kernel after kernel, with the intermediates that they leave in
// memory.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// flash-linear-attention's Triton kernels (fla/ops; sglang carries a copy) for sums, decays and delta rules: cumulative
// decays, scores of the keys, their triangular inverse, W and U, the state from chunk to chunk, the output.
std::vector<hardware::TileProgram> fla_programs(const models::LinearAttention& op);

// Mamba-2's five kernels (mamba_ssm/ops/triton/ssd_combined.py): cumulative decay, states of the chunks, their passing
// on, C B^T of each group, the output.
std::vector<hardware::TileProgram> ssd_programs(const models::LinearAttention& op);

// FlashKDA (MoonshotAI/FlashKDA, csrc/smxx): chunks of 16 tokens; one kernel over all chunks prepares, one CTA per head
// carries the state, in bf16, from chunk to chunk. Heads of 128 only. It multiplies T into V and not into K, which the
// operator's formula counts. An operator of chunks of 16 is taken as a prefill, of one token too.
bool flash_kda_takes(const models::LinearAttention& op);
std::vector<hardware::TileProgram> flash_kda_programs(const models::LinearAttention& op);

}  // namespace lightcone::scenarios
