// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/error_summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

namespace lightcone::scenarios {

namespace {

// Linear interpolation between the two nearest ranks, as numpy's default.
double quantile(const std::vector<double>& sorted, double q) {
  const double rank = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

ErrorGroup summarise(const std::array<std::string, 4>& key, std::vector<const ComparedPoint*> points) {
  ErrorGroup group{key[0], key[1], key[2], key[3], {}, {}, {}};
  const auto middle = std::stable_partition(
      points.begin(), points.end(), [](const ComparedPoint* point) { return point->measured_us >= kShortPointUs; });
  group.at_least_10us = error_statistics({points.begin(), middle});
  group.under_10us = error_statistics({middle, points.end()});
  std::stable_sort(points.begin(), points.end(), [](const ComparedPoint* a, const ComparedPoint* b) {
    return std::abs(a->error()) > std::abs(b->error());
  });
  points.resize(std::min(points.size(), kWorstPoints));
  group.worst = std::move(points);
  return group;
}

}  // namespace

ErrorStatistics error_statistics(const std::vector<const ComparedPoint*>& points) {
  ErrorStatistics statistics;
  statistics.count = points.size();
  if (points.empty()) return statistics;
  std::vector<double> absolute;
  for (const ComparedPoint* point : points) {
    absolute.push_back(std::abs(point->error()));
    statistics.bias += point->error();
    statistics.mean_absolute += absolute.back();
  }
  const auto count = static_cast<double>(points.size());
  statistics.bias /= count;
  statistics.mean_absolute /= count;
  std::sort(absolute.begin(), absolute.end());
  statistics.median_absolute = quantile(absolute, 0.5);
  statistics.p90_absolute = quantile(absolute, 0.9);
  return statistics;
}

std::vector<ErrorGroup> group_errors(const std::vector<ComparedPoint>& points) {
  using Key = std::array<std::string, 4>;
  std::array<std::map<Key, std::vector<const ComparedPoint*>>, 3> levels;
  for (const ComparedPoint& point : points) {
    levels[0][{point.source, point.gpu, point.op, point.dtype}].push_back(&point);
    levels[1][{"all", point.gpu, point.op, point.dtype}].push_back(&point);
    levels[2][{"all", point.gpu, "all", "all"}].push_back(&point);
  }
  std::vector<ErrorGroup> groups;
  for (const auto& level : levels) {
    for (const auto& [key, members] : level) groups.push_back(summarise(key, members));
  }
  return groups;
}

}  // namespace lightcone::scenarios
