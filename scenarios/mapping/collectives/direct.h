// SPDX-License-Identifier: Apache-2.0
// Every rank sends to every other without anybody between: all-to-all, send and receive, and the small all-reduces of
// the serving libraries (vLLM csrc/custom_all_reduce.cuh; TensorRT-LLM customAllReduceKernels.cu): one shot, in which
// every rank adds up the buffers of all, and two shots, in which it adds up its part and hands the sum to all.
// Readers of remote buffers are described as if the owner sent them: the same bytes on the same links.
#pragma once

#include "scenarios/mapping/collectives/collective_task.h"

namespace lightcone::scenarios {

// all_to_all, or send_receive to the next rank.
hardware::MessageProgram direct_program(const CollectiveTask& task);
// all_reduce between barriers of all ranks.
hardware::MessageProgram shots_program(const CollectiveTask& task, bool two_shots);

}  // namespace lightcone::scenarios
