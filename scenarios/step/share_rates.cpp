// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/share_rates.h"

#include <algorithm>
#include <array>
#include <limits>

namespace lightcone::scenarios {
namespace {

constexpr std::size_t kResources = 1 + kMostLinkKinds;

double of(const Demand& demand, std::size_t resource) {
  return resource == 0 ? demand.hbm : demand.links[resource - 1];
}

// Of a phase that has the SMs that the others leave it.
double most(const Demand& demand, double sms_taken) {
  const double left = std::max(0.01, 1 - (sms_taken - demand.sms));  // the last SM is never taken
  return 1 / (1 + demand.sm_elasticity * (1 / left - 1));
}

// How far the phases that still speed up can go before `resource` is exhausted; nothing uses it: for ever.
double level(const std::vector<const Demand*>& running, const std::vector<double>& rates,
             const std::vector<bool>& fixed, std::size_t resource) {
  double taken = 0, wanted = 0;
  for (std::size_t i = 0; i < running.size(); ++i) {
    (fixed[i] ? taken : wanted) += of(*running[i], resource) * (fixed[i] ? rates[i] : 1.0);
  }
  return wanted > 0 ? std::max(0.0, 1 - taken) / wanted : std::numeric_limits<double>::infinity();
}

}  // namespace

std::vector<double> share_rates(const std::vector<const Demand*>& running) {
  double sms = 0;
  for (const Demand* demand : running) sms += demand->sms;
  std::vector<double> caps, rates(running.size(), 0);
  for (const Demand* demand : running) caps.push_back(most(*demand, sms));
  std::vector<bool> fixed(running.size(), false);
  for (std::size_t left = running.size(); left > 0;) {
    std::array<double, kResources> levels{};
    double lowest = std::numeric_limits<double>::infinity();
    for (std::size_t r = 0; r < kResources; ++r) lowest = std::min(lowest, levels[r] = level(running, rates, fixed, r));
    for (std::size_t i = 0; i < running.size(); ++i) {
      if (!fixed[i]) lowest = std::min(lowest, caps[i]);
    }
    for (std::size_t i = 0; i < running.size(); ++i) {
      if (fixed[i]) continue;
      bool ends = caps[i] <= lowest;
      for (std::size_t r = 0; r < kResources; ++r) ends = ends || (of(*running[i], r) > 0 && levels[r] <= lowest);
      if (!ends) continue;
      rates[i] = lowest;
      fixed[i] = true;
      --left;
    }
  }
  return rates;
}

}  // namespace lightcone::scenarios
