// SPDX-License-Identifier: Apache-2.0
// The number formats of an operator: that of its activations, and the one in which its kernels multiply.
#pragma once

#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"
#include "sim/base/units.h"

namespace lightcone::scenarios {

NumberFormat operator_format(const models::Operator& op);  // of its activations

// Where the matrix FLOPs of kernels run, and the most that the GPU does there per second at the boost clock: the tensor
// cores in the format of the kernels' instructions (of several formats the fastest, so that nothing beats the peak), or
// the FP32 lanes when no kernel has matrix instructions.
struct MatrixPeak {
  NumberFormat format;
  FlopsPerSecond rate;
};
MatrixPeak matrix_peak(const KernelSequence& sequence, const hardware::GpuSpec& gpu);

}  // namespace lightcone::scenarios
