// SPDX-License-Identifier: Apache-2.0
// The links of a clock domain in one structure: a timing wheel. A message put on the wheel at `cycle` is delivered in
// that cycle, after everything that was put there before it, so that a result never depends on the order in which
// parts are called. A message is at least one cycle under way.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <vector>

#include "sim/base/error.h"
#include "sim/engine/cycle.h"

namespace lightcone::engine {

template <class Message>
class EventWheel {
 public:
  void send(Cycle now, Cycle at, const Message& message) {
    LIGHTCONE_ASSERT(at > now);
    if (at - now >= kSlots) {
      far_[at].push_back(message);
      return;
    }
    const std::size_t slot = at % kSlots;
    slots_[slot].push_back(message);
    occupied_[slot / 64] |= std::uint64_t{1} << (slot % 64);
  }

  // Delivers the messages of cycle `now` in order. The handler may send further ones.
  template <class Handler>
  void deliver(Cycle now, Handler&& handler) {
    if (!far_.empty() && far_.begin()->first <= now) {
      for (const Message& message : far_.begin()->second) handler(message);
      far_.erase(far_.begin());
    }
    const std::size_t slot = now % kSlots;
    std::vector<Message>& due = slots_[slot];
    for (std::size_t i = 0; i < due.size(); ++i) handler(due[i]);
    due.clear();
    occupied_[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
  }

  // The next cycle after `now` with a message, or kNever.
  [[nodiscard]] Cycle next(Cycle now) const {
    const Cycle far = far_.empty() ? kNever : far_.begin()->first;
    const std::size_t start = (now + 1) % kSlots;
    for (std::size_t step = 0; step <= kWords; ++step) {
      const std::size_t word = (start / 64 + step) % kWords;
      std::uint64_t bits = occupied_[word];
      if (step == 0) bits &= ~std::uint64_t{0} << (start % 64);
      if (step == kWords) bits &= (std::uint64_t{1} << (start % 64)) - 1;
      if (bits == 0) continue;
      const std::size_t slot = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      const Cycle cycle = now + 1 + (slot + kSlots - start) % kSlots;
      return cycle < far ? cycle : far;
    }
    return far;
  }

 private:
  static constexpr std::size_t kSlots =
      1024;  // longer than almost every latency, short enough to stay in the host's cache
  static constexpr std::size_t kWords = kSlots / 64;
  std::array<std::vector<Message>, kSlots> slots_;
  std::array<std::uint64_t, kWords> occupied_{};
  std::map<Cycle, std::vector<Message>> far_;  // beyond the wheel: rare, ordered
};

}  // namespace lightcone::engine
