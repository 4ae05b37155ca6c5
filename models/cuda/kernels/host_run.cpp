// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/host_run.h"

#include <algorithm>
#include <numeric>

#include "models/reference/fft_convolution.h"

namespace lightcone::models::cuda {

void HostRun::sort_pairs(const std::uint32_t* keys, std::uint32_t* sorted_keys, const std::uint32_t* values,
                         std::uint32_t* sorted_values, int count, int bits) {
  const std::uint32_t mask = bits >= 32 ? ~0u : (1u << bits) - 1;
  std::vector<int> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return (keys[a] & mask) < (keys[b] & mask); });
  for (int i = 0; i < count; ++i) {
    sorted_keys[i] = keys[order[static_cast<std::size_t>(i)]];
    sorted_values[i] = values[order[static_cast<std::size_t>(i)]];
  }
}

void HostRun::real_to_complex(const float* in, float* out, int size, int batch) {
  for (int b = 0; b < batch; ++b) {
    const reference::Vector<float> values = Eigen::Map<const reference::Vector<float>>(in + b * size, size);
    const auto spectrum = reference::real_fft<float>(values, size);
    std::memcpy(out + b * 2 * (size / 2 + 1), spectrum.data(), sizeof(float) * 2 * std::size_t(size / 2 + 1));
  }
}

void HostRun::complex_to_real(const float* in, float* out, int size, int batch) {
  for (int b = 0; b < batch; ++b) {
    reference::Vector<std::complex<float>> spectrum(size / 2 + 1);
    for (int i = 0; i <= size / 2; ++i) {
      const float* value = in + (b * (size / 2 + 1) + i) * 2;
      spectrum(i) = {value[0], value[1]};
    }
    const reference::Vector<float> values = reference::inverse_real_fft<float>(spectrum, size) * float(size);
    std::memcpy(out + b * size, values.data(), sizeof(float) * std::size_t(size));
  }
}

}  // namespace lightcone::models::cuda
