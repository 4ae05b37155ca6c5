// SPDX-License-Identifier: Apache-2.0
// Backward kernels of convolutions and scans, one CTA per channel and sequence, which walks the tokens from the back.
// causal-conv1d (csrc/causal_conv1d_bwd.cu): x and dy in, the sum again for SiLU's slope, dx out; the gradient of the
// filter stays in registers and is added by atomics at the end. Mamba-1
// (csrc/selective_scan/selective_scan_bwd_kernel.cuh): a scan forward from the saved state and one back per state;
// gradients of B and C, which all channels share, are added by atomics, value by value. Linear scans: as the
// forward kernel (linear_scan.h), a CTA per 128 channels.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

hardware::TileProgram causal_conv_backward_program(const models::Backward<models::CausalConv>& op);
hardware::TileProgram linear_scan_backward_program(const models::Backward<models::LinearScan>& op);
std::vector<hardware::TileProgram> selective_scan_backward_programs(const models::Backward<models::SelectiveScan>& op);

}  // namespace lightcone::scenarios
