// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/flash_attention.h"

#include "models/cuda/kernels/device_launch.h"

namespace lightcone::models::cuda {

template void attention_flash(DeviceRun&, const Arguments&);
template void attention_block_sparse(DeviceRun&, const Arguments&);
template void attention_selected(DeviceRun&, const Arguments&);
template void attention_decode(DeviceRun&, const Arguments&);

}  // namespace lightcone::models::cuda
