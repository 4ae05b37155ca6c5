// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/device_launch.h"
#include "models/cuda/kernels/gated_delta_rule.h"
#include "models/cuda/kernels/linear_attention.h"
#include "models/cuda/kernels/rwkv.h"

namespace lightcone::models::cuda {

template void linear_attention(DeviceRun&, const Arguments&);
template void ssd_chunk_scan(DeviceRun&, const Arguments&);
template void gated_delta_rule(DeviceRun&, const Arguments&);
template void rwkv6(DeviceRun&, const Arguments&);
template void rwkv7(DeviceRun&, const Arguments&);

}  // namespace lightcone::models::cuda
