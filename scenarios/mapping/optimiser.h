// SPDX-License-Identifier: Apache-2.0
// AdamW over all parameters as fused multi-tensor kernels run it (PyTorch: fused_adam_impl through multi_tensor_apply;
// Apex: multi_tensor_adam.cu): CTAs of 512 threads that take chunks of 65536 values, four values of each tensor per
// thread and turn. One grid stands for the launches of at most 320 chunks each.
#pragma once

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

hardware::TileProgram adamw_program(const models::AdamW& op);

}  // namespace lightcone::scenarios
