// SPDX-License-Identifier: Apache-2.0
// Which algorithm and protocol NCCL takes inside a node: the least time by its own cost model, whose latencies and
// bandwidths are constants of the library and not of the kernels (NCCL 2.29, src/graph/tuning.cc). The model is not
// always right, and a jump in measured times where it changes its mind is part of what a user gets.
#pragma once

#include "scenarios/mapping/collectives/collective_task.h"

namespace lightcone::scenarios {

struct NcclChoice {
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::ring;
  CollectiveProtocol protocol = CollectiveProtocol::simple;  // of a ring
  Seconds expected;                                          // by NCCL's model
};

// all_reduce, reduce_scatter or all_gather of ranks in one domain of NVLink. `in_switch`: whether the switch can add.
NcclChoice nccl_choice(const CollectiveTask& task, bool in_switch);

}  // namespace lightcone::scenarios
