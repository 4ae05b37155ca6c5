// SPDX-License-Identifier: Apache-2.0
// Measured collectives: rows of nccl-tests, of the all-reduces of serving libraries, and of profiled communication
// kernels. Sizes are those of nccl-tests ("size" column), as models::Communication counts them.
#pragma once

#include "scenarios/validate/row_to_operator.h"

namespace lightcone::scenarios {

// all_reduce, all_gather, reduce_scatter, all_to_all, send_recv. Throws Unsupported.
MappedPoint collective_row(const OperatingPoint& point);
// ring_attention_fwd of ring-flash-attention: FlashAttention's forward and the messages. Throws Unsupported.
MappedPoint ring_attention_row(const OperatingPoint& point);

}  // namespace lightcone::scenarios
