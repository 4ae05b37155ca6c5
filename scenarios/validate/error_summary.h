// SPDX-License-Identifier: Apache-2.0
// How far predictions are from measurements: relative errors per class of points, kept apart below and above ten
// microseconds, where launch cost rules and where it does not.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lightcone::scenarios {

struct ComparedPoint {
  std::size_t row = 0;  // index into the caller's rows
  std::string source, gpu, op, dtype;
  double measured_us = 0, predicted_us = 0;

  // (predicted - measured) / measured.
  [[nodiscard]] double error() const { return predicted_us / measured_us - 1; }
};

// Of the relative errors of one set of points. Fractions, not percent.
struct ErrorStatistics {
  std::size_t count = 0;
  double median_absolute = 0, mean_absolute = 0;
  double bias = 0;  // mean signed error: above 0, predictions are too slow
  double p90_absolute = 0;
};
ErrorStatistics error_statistics(const std::vector<const ComparedPoint*>& points);

inline constexpr double kShortPointUs = 10;
inline constexpr std::size_t kWorstPoints = 10;

struct ErrorGroup {
  std::string source, gpu, op, dtype;         // "all" where a total is taken over it
  ErrorStatistics at_least_10us, under_10us;  // by measured time
  std::vector<const ComparedPoint*> worst;    // largest absolute errors first, of both
};

// One group per source, GPU, op and dtype, in alphabetic order, then totals over sources per GPU, op and dtype, then
// one over everything per GPU. Points must outlive the result.
std::vector<ErrorGroup> group_errors(const std::vector<ComparedPoint>& points);

}  // namespace lightcone::scenarios
