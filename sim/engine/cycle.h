// SPDX-License-Identifier: Apache-2.0
// Cycle numbers inside a clock domain, and when a component wants to be called again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace lightcone::engine {

using Cycle = std::uint64_t;
inline constexpr Cycle kNever = std::numeric_limits<Cycle>::max();

// The answer of a tick: sleep until `cycle`, or until a message arrives (kNever).
class Wake {
 public:
  static constexpr Wake at(Cycle cycle) { return Wake(cycle); }
  static constexpr Wake on_message() { return Wake(kNever); }
  [[nodiscard]] constexpr Cycle cycle() const { return cycle_; }
  [[nodiscard]] constexpr Wake earlier(Wake other) const { return Wake(std::min(cycle_, other.cycle_)); }

 private:
  constexpr explicit Wake(Cycle cycle) : cycle_(cycle) {}
  Cycle cycle_;
};

}  // namespace lightcone::engine
