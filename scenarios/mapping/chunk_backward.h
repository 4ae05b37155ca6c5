// SPDX-License-Identifier: Apache-2.0
// Backward of chunked linear attention, kernel after kernel as flash-linear-attention launches them
// (fla/ops/common/chunk_h.py, chunk_delta_h.py, chunk_o.py: chunk_bwd_dv, chunk_bwd_kernel_dqkwg;
// fla/ops/gated_delta_rule/ wy_fast.py: prepare_wy_repr_bwd): states again, their gradients from the back, then the
// chunks side by side. Mamba-2's (mamba_ssm/ops/triton/ssd_combined.py: _mamba_chunk_scan_combined_bwd) share the
// scores of a group. Decays per key value are taken to cost their exponentials beside the same products. RWKV-7 and
// mLSTM have no kernels here.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

std::vector<hardware::TileProgram> chunk_backward_programs(const models::Backward<models::LinearAttention>& op);

}  // namespace lightcone::scenarios
