// SPDX-License-Identifier: Apache-2.0
// List scheduling of a grid on the GPU's CTA slots: each CTA goes, in launch order, to the slot that is free first.
// Runs of equal CTAs are placed together, so that the cost grows with the groups and not with the CTAs.
#pragma once

#include <cstdint>
#include <vector>

namespace lightcone::hardware {

struct EqualCtas {
  double duration = 0;
  std::uint64_t count = 0;
};

// When the last slot is done, and the slot-time spent working. The same as placing one CTA at a time.
struct Schedule {
  double makespan = 0;
  double busy = 0;
};
Schedule list_schedule(const std::vector<EqualCtas>& runs, std::uint64_t slots);

}  // namespace lightcone::hardware
