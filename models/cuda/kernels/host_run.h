// SPDX-License-Identifier: Apache-2.0
// Launches kernels on the CPU, CTA after CTA, and does what libraries do on a GPU (sort, FFT) in the plainest way.
#pragma once

#include <memory>
#include <vector>

#include "models/cuda/kernels/host_block.h"

namespace lightcone::models::cuda {

class HostRun {
 public:
  explicit HostRun(FiberOrder order) : order_(order) {}

  template <class Kernel>
  void launch(Grid grid, const typename Kernel::Params& params) {
    HostBlock block(Kernel::kThreads, sizeof(typename Kernel::Shared), order_);
    for (int z = 0; z < grid.z; ++z) {
      for (int y = 0; y < grid.y; ++y) {
        for (int x = 0; x < grid.x; ++x) {
          block.run(grid, {x, y, z}, [&](HostBlock& self) { Kernel::run(self, params); });
        }
      }
    }
  }

  // Memory until the run ends; holds NaN at first, as poisoned device memory does.
  template <class T>
  T* scratch(std::size_t count) {
    kept_.emplace_back(new unsigned char[count * sizeof(T) + 16]);
    std::memset(kept_.back().get(), 0xFF, count * sizeof(T));
    return reinterpret_cast<T*>(kept_.back().get());
  }

  // Stable, by the lowest `bits` of the keys.
  void sort_pairs(const std::uint32_t* keys, std::uint32_t* sorted_keys, const std::uint32_t* values,
                  std::uint32_t* sorted_values, int count, int bits);
  // `batch` transforms of `size` real values each, to size/2 + 1 complex ones (re, im) and back; back is not scaled.
  void real_to_complex(const float* in, float* out, int size, int batch);
  void complex_to_real(const float* in, float* out, int size, int batch);

 private:
  FiberOrder order_;
  std::vector<std::unique_ptr<unsigned char[]>> kept_;
};

}  // namespace lightcone::models::cuda
