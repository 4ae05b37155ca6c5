// SPDX-License-Identifier: Apache-2.0
// The machine's own figures: load latency by footprint, bandwidth of L2 and HBM, rates of tensor cores, FP32 units and
// special functions, cost of a launch, power at load. As rows of measured tables.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/cuda/measure/table.h"
#include "models/cuda/program/device.h"

namespace lightcone::models::cuda {

// `done` is asked before every benchmark; those after it says yes are not run. Each finished row goes to `row`.
void run_microbenchmarks(const DeviceFacts& device, bool quick, const std::function<bool()>& done,
                         const std::function<void(TableRow)>& row);

// ---- Kernels (microbenchmarks.cu) --------------------------------------------------------------------------------

// One thread follows a chain of pointers, `warm_up` steps and then `steps`; *cycles: of the latter.
void chase_pointers(const void* start, int warm_up, int steps, long long* cycles, void* sink, cudaStream_t stream);

// All SMs read `bytes` `passes` times, past the L1.
void read_memory(const void* from, std::size_t bytes, int passes, int sms, void* sink, cudaStream_t stream);
void copy_memory(const void* from, void* to, std::size_t bytes, int sms, cudaStream_t stream);
void write_memory(void* to, std::size_t bytes, int sms, cudaStream_t stream);

enum class Unit { tensor_bf16, fp32, sfu };
// Operations that one call does: FLOPs, or exponentials.
double spin_operations(Unit unit, int sms, int rounds);
// All SMs issue to one unit without waiting for memory.
void spin(Unit unit, int sms, int rounds, void* sink, cudaStream_t stream);

void empty_kernel(cudaStream_t stream);

}  // namespace lightcone::models::cuda
