// SPDX-License-Identifier: Apache-2.0
// The entry of every kernel and its launch; included by .cu files only.
#pragma once

#include "models/cuda/kernels/device_block.h"
#include "models/cuda/kernels/device_run.h"

namespace lightcone::models::cuda {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads) enter(const __grid_constant__ typename Kernel::Params params) {
  DeviceBlock block;
  Kernel::run(block, params);
}

constexpr std::size_t kSharedWithoutAsking = 48 << 10;  // more must be asked for (CUDA C++ Programming Guide, 7.2.3)

template <class Kernel>
void DeviceRun::launch(Grid grid, const typename Kernel::Params& params) {
  constexpr std::size_t kShared = sizeof(typename Kernel::Shared);
  if constexpr (kShared > kSharedWithoutAsking) {
    check_cuda(cudaFuncSetAttribute(enter<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, int(kShared)),
               "shared memory of a kernel");
  }
  const dim3 ctas(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  enter<Kernel><<<ctas, Kernel::kThreads, kShared, stream_>>>(params);
  check_cuda(cudaGetLastError(), "launch of a kernel");
}

}  // namespace lightcone::models::cuda
