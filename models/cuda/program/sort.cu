// SPDX-License-Identifier: Apache-2.0
// CUB's radix sort. Built for sm_80 with PTX for all others: its templates take most of a minute per architecture.
#include <cub/device/device_radix_sort.cuh>

#include "models/cuda/kernels/device_run.h"

namespace lightcone::models::cuda {

void DeviceRun::sort_pairs(const std::uint32_t* keys, std::uint32_t* sorted_keys, const std::uint32_t* values,
                           std::uint32_t* sorted_values, int count, int bits) {
  std::size_t bytes = 0;
  check_cuda(cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, sorted_keys, values, sorted_values, count, 0, bits,
                                             stream_),
             "cub::DeviceRadixSort, size of its memory");
  check_cuda(cub::DeviceRadixSort::SortPairs(scratch<unsigned char>(bytes), bytes, keys, sorted_keys, values,
                                             sorted_values, count, 0, bits, stream_),
             "cub::DeviceRadixSort");
}

}  // namespace lightcone::models::cuda
