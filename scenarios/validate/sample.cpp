// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/sample.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

namespace lightcone::scenarios {

std::vector<std::size_t> sample_indices(std::size_t size, std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> indices(size);
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  if (count >= size) return indices;
  std::mt19937_64 generator(seed);  // its numbers are fixed by the standard; its distributions are not
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t other = i + static_cast<std::size_t>(generator() % (size - i));
    std::swap(indices[i], indices[other]);
  }
  indices.resize(count);
  std::sort(indices.begin(), indices.end());
  return indices;
}

}  // namespace lightcone::scenarios
