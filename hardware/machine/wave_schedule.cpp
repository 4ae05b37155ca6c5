// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/wave_schedule.h"

#include <algorithm>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

// Slots that become free at the same time.
struct Free {
  double time = 0;
  std::uint64_t slots = 0;
};

// Orders a heap with the earliest time on top.
bool later(const Free& a, const Free& b) { return a.time > b.time; }

}  // namespace

Schedule list_schedule(const std::vector<EqualCtas>& runs, std::uint64_t slots) {
  LIGHTCONE_ASSERT(slots > 0);
  std::vector<Free> heap{{0, slots}};
  heap.reserve(64);
  Schedule schedule;
  double latest = 0;
  for (const EqualCtas& run : runs) {
    std::uint64_t left = run.count;
    schedule.busy += run.duration * static_cast<double>(run.count);
    // While all slots are free within one duration of each other, a round gives every slot exactly one CTA.
    if (left >= 2 * slots && latest - heap.front().time <= run.duration) {
      const std::uint64_t rounds = left / slots;
      for (Free& free : heap) free.time += static_cast<double>(rounds) * run.duration;
      latest += static_cast<double>(rounds) * run.duration;
      left -= rounds * slots;
    }
    while (left > 0) {
      std::pop_heap(heap.begin(), heap.end(), later);
      Free& first = heap.back();
      const std::uint64_t placed = std::min(left, first.slots);
      const double end = first.time + run.duration;
      if (placed == first.slots) {
        first.time = end;
        std::push_heap(heap.begin(), heap.end(), later);
      } else {
        first.slots -= placed;
        std::push_heap(heap.begin(), heap.end(), later);
        heap.push_back({end, placed});
        std::push_heap(heap.begin(), heap.end(), later);
      }
      left -= placed;
      latest = std::max(latest, end);
    }
  }
  schedule.makespan = latest;
  return schedule;
}

}  // namespace lightcone::hardware
