// SPDX-License-Identifier: Apache-2.0
// The k largest of a row, as routers and sparse attention select them. Ties go to the lowest index, so that every form
// of a primitive selects the same.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

// Indices of the k largest values, largest first; fewer when there are fewer values above -infinity.
template <class Row>
std::vector<Eigen::Index> top_k(const Row& values, Eigen::Index k) {
  using Number = typename Row::Scalar;
  const Number never = static_cast<Number>(-std::numeric_limits<double>::infinity());
  std::vector<Eigen::Index> order;
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    if (values(i) > never) order.push_back(i);
  }
  const auto end = order.begin() + std::min<std::ptrdiff_t>(k, std::ssize(order));
  std::partial_sort(order.begin(), end, order.end(), [&](Eigen::Index a, Eigen::Index b) {
    return values(a) > values(b) || (values(a) == values(b) && a < b);
  });
  order.erase(end, order.end());
  return order;
}

// The same, in ascending order of index.
template <class Row>
std::vector<Eigen::Index> sorted_top_k(const Row& values, Eigen::Index k) {
  std::vector<Eigen::Index> chosen = top_k(values, k);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace lightcone::models::reference
