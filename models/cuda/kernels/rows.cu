// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/rows.h"

#include "models/cuda/kernels/device_launch.h"
#include "models/cuda/kernels/standard_attention.h"

namespace lightcone::models::cuda {

template void softmax(DeviceRun&, const Arguments&);
template void rmsnorm(DeviceRun&, const Arguments&);
template void layernorm(DeviceRun&, const Arguments&);
template void attention_standard(DeviceRun&, const Arguments&);

}  // namespace lightcone::models::cuda
