// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/gradient_buckets.h"

namespace lightcone::scenarios {

std::vector<GradientBucket> gradient_buckets(const std::vector<std::uint64_t>& parameters, std::uint64_t size) {
  std::vector<GradientBucket> buckets;
  for (std::size_t unit = parameters.size(); unit-- > 0;) {
    if (buckets.empty() || buckets.back().parameters >= size) buckets.push_back({unit, unit, 0});
    buckets.back().first = unit;
    buckets.back().parameters += parameters[unit];
  }
  while (!buckets.empty() && buckets.back().parameters == 0) buckets.pop_back();
  return buckets;
}

}  // namespace lightcone::scenarios
