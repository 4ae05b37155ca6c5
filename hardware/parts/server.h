// SPDX-License-Identifier: Apache-2.0
// A unit that does one thing after another at a fixed rate (a lane array, a port, a data bus): first come, first
// served, remembered as the time at which it is free. Fractions of a cycle are kept so that rates need not be whole.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sim/engine/cycle.h"

namespace lightcone::hardware {

class Server {
 public:
  // Takes `cycles` of work that arrives at `now`; returns when it is finished.
  double serve(double now, double cycles) {
    free_ = std::max(free_, now) + cycles;
    busy_ += cycles;
    return free_;
  }
  [[nodiscard]] double free_at() const { return free_; }
  [[nodiscard]] double busy_cycles() const { return busy_; }  // in all
  void hold_until(double time) { free_ = std::max(free_, time); }

 private:
  double free_ = 0;
  double busy_ = 0;
};

// The first whole cycle at which something that ends at `time` can be seen, at least one after `now`.
inline engine::Cycle visible_at(double time, engine::Cycle now) {
  auto cycle = static_cast<std::int64_t>(time);  // rounded up by hand: std::ceil is a call on a baseline x86-64
  if (static_cast<double>(cycle) < time) ++cycle;
  return std::max(static_cast<engine::Cycle>(cycle), now + 1);
}

}  // namespace lightcone::hardware
