// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/record/compare.h"

#include <cmath>
#include <limits>

#include "sim/base/content_hash.h"

namespace lightcone::models::cuda {

double relative_norm(const std::vector<double>& got, const std::vector<double>& truth) {
  if (got.size() != truth.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference += (got[i] - truth[i]) * (got[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  if (difference == 0) return 0;
  const double ratio = std::sqrt(difference / norm);
  return std::isfinite(ratio) ? ratio : std::numeric_limits<double>::infinity();
}

std::string digest_of(const std::vector<unsigned char>& bytes) {
  return ContentHash().add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())).hex();
}

}  // namespace lightcone::models::cuda
