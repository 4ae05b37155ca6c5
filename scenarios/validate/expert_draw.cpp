// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/expert_draw.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

constexpr std::uint64_t kDraws = 15, kSeed = 20240521;

using Rows = std::vector<std::uint64_t>;

std::uint64_t sum(Rows::const_iterator first, Rows::const_iterator last) {
  return std::accumulate(first, last, std::uint64_t{0});
}

// Of equal density in [0, 1), the same on every platform.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

Rows scaled_loads(const ExpertDraw& draw, double exponent, std::mt19937_64& random) {
  const std::uint64_t target = draw.tokens * draw.top_k;
  const bool many = target > draw.experts;
  const double low = many ? 1 : 0.01, high = many ? 0.8 * static_cast<double>(draw.tokens) : 2;
  const double power = 1 - exponent;
  std::vector<double> loads(draw.experts);
  for (double& load : loads) {
    const double from = std::pow(low, power);
    load = std::pow((std::pow(high, power) - from) * uniform(random) + from, 1 / power);
  }
  const double total = std::accumulate(loads.begin(), loads.end(), 0.0);
  Rows rows;
  for (const double load : loads) {
    rows.push_back(static_cast<std::uint64_t>(std::nearbyint(load / total * static_cast<double>(target))));
  }
  return rows;
}

// Rows above the tokens go to the least loaded experts of each device in turn; so do rows lost to rounding, while
// surplus ones are taken from the most loaded.
void settle(Rows& rows, const ExpertDraw& draw) {
  for (std::uint64_t& r : rows) r = std::min(r, draw.tokens);
  const std::uint64_t target = draw.tokens * draw.top_k, each = draw.experts / draw.devices;
  std::uint64_t have = sum(rows.begin(), rows.end());
  while (have != target) {
    for (std::uint64_t device = 0; device < draw.devices && have != target; ++device) {
      const auto first = rows.begin() + static_cast<std::ptrdiff_t>(device * each);
      const auto last = first + static_cast<std::ptrdiff_t>(each);
      if (have < target) {
        const auto least = std::min_element(first, last);
        if (*least == draw.tokens) continue;
        ++*least;
        ++have;
      } else {
        const auto most = std::max_element(first, last);
        if (*most == 0) continue;
        --*most;
        --have;
      }
    }
  }
}

void most_loaded_first(Rows& rows, const ExpertDraw& draw) {
  const auto each = static_cast<std::ptrdiff_t>(draw.experts / draw.devices);
  const auto load = [&](std::ptrdiff_t device) {
    return sum(rows.begin() + device * each, rows.begin() + (device + 1) * each);
  };
  std::ptrdiff_t most = 0;
  for (std::ptrdiff_t device = 1; device < static_cast<std::ptrdiff_t>(draw.devices); ++device) {
    if (load(device) > load(most)) most = device;
  }
  if (most != 0) std::swap_ranges(rows.begin(), rows.begin() + each, rows.begin() + most * each);
}

}  // namespace

std::vector<std::uint64_t> balanced_rows(const ExpertDraw& draw) {
  Rows rows(draw.experts);
  const std::uint64_t stride = ceil_div(draw.experts, draw.top_k);
  for (std::uint64_t token = 0; token < draw.tokens; ++token) {
    const std::uint64_t start = draw.tokens >= stride ? token : token * stride / draw.tokens;
    for (std::uint64_t i = 0; i < draw.top_k; ++i) ++rows[(start + i * stride) % draw.experts];
  }
  return rows;
}

std::vector<std::uint64_t> power_law_rows(const ExpertDraw& draw, double exponent) {
  std::mt19937_64 random(kSeed);
  std::vector<Rows> draws;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    Rows rows = scaled_loads(draw, exponent, random);
    settle(rows, draw);
    most_loaded_first(rows, draw);
    draws.push_back(std::move(rows));
  }
  const auto each = static_cast<std::ptrdiff_t>(draw.experts / draw.devices);
  std::stable_sort(draws.begin(), draws.end(), [&](const Rows& a, const Rows& b) {
    return sum(a.begin(), a.begin() + each) < sum(b.begin(), b.begin() + each);
  });
  return draws[kDraws / 2];
}

}  // namespace lightcone::scenarios
