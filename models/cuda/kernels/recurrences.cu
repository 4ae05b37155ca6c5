// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/device_launch.h"
#include "models/cuda/kernels/recurrences.h"

namespace lightcone::models::cuda {

template void rg_lru(DeviceRun&, const Arguments&);
template void lstm(DeviceRun&, const Arguments&);
template void selective_scan(DeviceRun&, const Arguments&);
template void causal_conv1d(DeviceRun&, const Arguments&);

}  // namespace lightcone::models::cuda
