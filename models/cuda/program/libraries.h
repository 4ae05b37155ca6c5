// SPDX-License-Identifier: Apache-2.0
// NVIDIA's own kernels for the same work, beside ours.
#pragma once

#include "models/cuda/kernels/device_run.h"

namespace lightcone::models::cuda {

// cuBLAS, bf16 with fp32 sums; tensors as in gemm() and batched_gemm(). The first call makes the handle, which
// allocates: not while a graph is captured.
void gemm_cublas(DeviceRun& run, const Arguments& args);
void batched_gemm_cublas(DeviceRun& run, const Arguments& args);

// wgmma and TMA (sm_90a): k a multiple of 8. Throws where the GPU is another.
void gemm_wgmma(DeviceRun& run, const Arguments& args);

std::string cublas_version();

// A primitive or one of its variants by name.
using DevicePrimitive = void (*)(DeviceRun&, const Arguments&);
DevicePrimitive device_primitive(std::string_view name);

}  // namespace lightcone::models::cuda
