// SPDX-License-Identifier: Apache-2.0
// What a stop-watch would have shown for a sequence of kernels, under each timing convention of measured data.
#pragma once

#include <vector>

#include "hardware/spec/gpu_spec.h"
#include "scenarios/validate/row_to_operator.h"
#include "sim/base/units.h"
#include "sim/observe/kernel_result.h"

namespace lightcone::scenarios {

// Kernel times hold the gap to the next kernel (LaunchSpec::graph_kernel or stream_kernel, by the launch mode).
// Profiler time leaves the gap out. Eager time is bounded by the host: the launch follows the opening event after one
// framework call, and the closing event is recorded about one more such call later (measured on eager FP32 kernels:
// short ones all take twice what is added to long ones; NeuSight data set). Replays of a graph share the time from the
// opening event to the first kernel among the `calls` of the measurement; 0: so many that it does not matter.
Seconds observed_time(TimingConvention convention, const std::vector<KernelResult>& kernels,
                      const hardware::LaunchSpec& launch, std::uint32_t calls = 0);

}  // namespace lightcone::scenarios
