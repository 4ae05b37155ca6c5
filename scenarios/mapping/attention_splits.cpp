// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_splits.h"

#include <algorithm>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

std::uint32_t split_heuristic(std::uint64_t tiles, std::uint64_t slots, std::uint64_t key_blocks, SplitRule rule) {
  constexpr std::uint64_t kMostSplits = 128;
  if (static_cast<double>(tiles) >= 0.8 * static_cast<double>(slots)) return 1;
  if (rule == SplitRule::any && key_blocks <= 4) return 1;
  const std::uint64_t most = std::min({kMostSplits, slots, key_blocks});
  const auto eligible = [&](std::uint64_t splits) {
    return rule == SplitRule::any || splits == 1 || ceil_div(key_blocks, splits) != ceil_div(key_blocks, splits - 1);
  };
  const auto efficiency = [&](std::uint64_t splits) {
    const double waves = static_cast<double>(tiles * splits) / static_cast<double>(slots);
    return waves / static_cast<double>(ceil_div(tiles * splits, slots));
  };
  double best = 0;
  for (std::uint64_t splits = 1; splits <= most; ++splits) {
    if (eligible(splits)) best = std::max(best, efficiency(splits));
  }
  for (std::uint64_t splits = 1; splits <= most; ++splits) {
    if (eligible(splits) && efficiency(splits) >= 0.85 * best) return static_cast<std::uint32_t>(splits);
  }
  return 1;
}

}  // namespace lightcone::scenarios
