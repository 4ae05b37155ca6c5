// SPDX-License-Identifier: Apache-2.0
// All-reduce by the switch (NCCL's NVLS): each rank owns a part; the switch reads the part of all ranks, adds them and
// returns the sum (multimem.ld_reduce), then copies it to all (multimem.st). Each byte goes up once from every rank and
// comes down once to every rank: fewer than a ring carries. Source: NCCL src/device/all_reduce.h, NVLS.
#pragma once

#include "scenarios/mapping/collectives/collective_task.h"

namespace lightcone::scenarios {

// Of two or more ranks below one reducing switch (MachineGraph::reduces_in_switch).
hardware::MessageProgram in_switch_program(const CollectiveTask& task);

}  // namespace lightcone::scenarios
