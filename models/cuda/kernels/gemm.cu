// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/gemm.h"

#include "models/cuda/kernels/device_launch.h"

namespace lightcone::models::cuda {

template void gemm(DeviceRun&, const Arguments&);
template void batched_gemm(DeviceRun&, const Arguments&);
template void grouped_gemm(DeviceRun&, const Arguments&);

}  // namespace lightcone::models::cuda
