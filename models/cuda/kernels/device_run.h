// SPDX-License-Identifier: Apache-2.0
// Launches kernels on the current GPU, in one stream. Every return code is checked.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "models/cuda/kernels/arguments.h"

namespace lightcone::models::cuda {

// Throws std::runtime_error with the name of the error and of what was tried.
void check_cuda(cudaError_t code, const char* what);

class DeviceRun {
 public:
  // `scratch_bytes`: the most that primitives may use at a time; allocated at the first use.
  DeviceRun(cudaStream_t stream, std::size_t scratch_bytes) : stream_(stream), capacity_(scratch_bytes) {}
  ~DeviceRun();
  DeviceRun(const DeviceRun&) = delete;
  DeviceRun& operator=(const DeviceRun&) = delete;

  [[nodiscard]] cudaStream_t stream() const { return stream_; }

  template <class Kernel>
  void launch(Grid grid, const typename Kernel::Params& params);  // device_launch.h

  // Memory until release(); not initialised.
  template <class T>
  T* scratch(std::size_t count) {
    return static_cast<T*>(take(count * sizeof(T)));
  }
  void release() { used_ = 0; }

  // CUB's radix sort, stable, by the lowest `bits` of the keys.
  void sort_pairs(const std::uint32_t* keys, std::uint32_t* sorted_keys, const std::uint32_t* values,
                  std::uint32_t* sorted_values, int count, int bits);
  // cuFFT: `batch` transforms of `size` real values each, to size/2 + 1 complex ones and back; back is not scaled.
  void real_to_complex(const float* in, float* out, int size, int batch);
  void complex_to_real(const float* in, float* out, int size, int batch);

 private:
  void* take(std::size_t bytes);
  int plan(bool forward, int size, int batch);

  cudaStream_t stream_;
  std::size_t capacity_, used_ = 0;
  void* memory_ = nullptr;
  std::map<std::pair<bool, std::pair<int, int>>, int> plans_;  // made once: cuFFT allocates when it makes one
};

}  // namespace lightcone::models::cuda
