// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/device_launch.h"
#include "models/cuda/kernels/long_convolution.h"
#include "models/cuda/kernels/quantise.h"
#include "models/cuda/kernels/selection.h"

namespace lightcone::models::cuda {

template void s4_vandermonde(DeviceRun&, const Arguments&);
template void s4_fft_convolution(DeviceRun&, const Arguments&);
template void lsh_hash_sort(DeviceRun&, const Arguments&);
template void kmeans_routing(DeviceRun&, const Arguments&);
template void top_k_router(DeviceRun&, const Arguments&);
template void quantise_fp8(DeviceRun&, const Arguments&);
template void dequantise_fp8(DeviceRun&, const Arguments&);
template void quantise_int8(DeviceRun&, const Arguments&);

}  // namespace lightcone::models::cuda
