// SPDX-License-Identifier: Apache-2.0
// Rings as NCCL runs them: every channel is a ring of one CTA per rank. All-reduce goes round twice (reduce-scatter,
// all-gather), the others once. Data move in chunks, a chunk in slices; a CTA that forwards one slice cannot take the
// next. Source: NCCL src/device/all_reduce.h, all_gather.h, reduce_scatter.h, broadcast.h.
#pragma once

#include "scenarios/mapping/collectives/collective_task.h"

namespace lightcone::scenarios {

// all_reduce, reduce_scatter, all_gather or broadcast (from rank 0) of two or more ranks on `channels` rings.
hardware::MessageProgram ring_program(const CollectiveTask& task, CollectiveProtocol protocol, std::uint32_t channels);

}  // namespace lightcone::scenarios
