// SPDX-License-Identifier: Apache-2.0
// How the benchmark of experts in aiconfigurator (collector/helper.py) spreads tokens over experts, as row counts of
// each expert, those of the measured device first. The benchmark's random draws are unknown: of several draws made the
// same way, the one whose first device has the median load stands for them.
#pragma once

#include <cstdint>
#include <vector>

namespace lightcone::scenarios {

struct ExpertDraw {
  std::uint64_t tokens = 0, experts = 0, top_k = 0, devices = 1;
};

// Expert i of token t is (t + i * stride) mod experts, with stride = experts / top_k rounded up; fewer tokens than a
// stride are spread over it.
std::vector<std::uint64_t> balanced_rows(const ExpertDraw& draw);

// Loads drawn with density x^-exponent on [1, 0.8 tokens] (on [0.01, 2] when there are fewer rows than experts), scaled
// to tokens * top_k rows and rounded, none above `tokens`; then the devices are ordered so that the most loaded one is
// the first. Needs devices to divide experts, and top_k <= experts.
std::vector<std::uint64_t> power_law_rows(const ExpertDraw& draw, double exponent);

}  // namespace lightcone::scenarios
