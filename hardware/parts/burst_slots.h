// SPDX-License-Identifier: Apache-2.0
// When the bursts of a request go out on the column bus of a pseudo-channel. A request lies in one bank row, so its
// bursts are `stride` apart (tCCD_L), and the slots between them serve requests to other bank groups, `slot` apart
// (tCCD_S): the bus is a set of interleaved lanes, a request takes consecutive slots of one lane, and the next free
// slot is arithmetic. Source: the tCCD rules of JESD235D and JESD238. Not modelled: a request that changes lanes
// between its bursts, or a stride that is no whole number of slots (it is rounded up).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace lightcone::hardware {

class BurstSlots {
 public:
  static constexpr std::uint32_t kMaxLanes = 8;

  // CK between bursts of different bank groups, and of the same one. Slots are widened where they would be too many.
  BurstSlots(std::uint32_t other_group, std::uint32_t same_group)
      : slot_(std::max({1u, other_group, (same_group + kMaxLanes - 1) / kMaxLanes})),
        lanes_((std::max(slot_, same_group) + slot_ - 1) / slot_),
        stride_(lanes_ * slot_) {}

  [[nodiscard]] std::uint32_t stride() const { return stride_; }

  // The first cycle from `cycle` on at which a request may put its first burst on the bus.
  [[nodiscard]] std::uint64_t first_free(std::uint64_t cycle) const {
    if (cycle >= bus_free_) return cycle;
    std::uint64_t first = in_lane(0, cycle);
    for (std::uint32_t lane = 1; lane < lanes_; ++lane) first = std::min(first, in_lane(lane, cycle));
    return std::min(first, bus_free_);
  }

  // Takes the slots for `bursts` from `cycle` on, which first_free returned; answers the cycle of the last burst.
  std::uint64_t take(std::uint64_t cycle, std::uint32_t bursts) {
    const std::uint64_t last = cycle + std::uint64_t{bursts - 1} * stride_;
    if (cycle >= bus_free_) {  // nothing under way: the lanes line up with this request
      next_[0] = last + stride_;
      for (std::uint32_t lane = 1; lane < lanes_; ++lane) next_[lane] = cycle + std::uint64_t{lane} * slot_;
    } else {
      std::uint32_t lane = 0;
      while (in_lane(lane, cycle) != cycle) ++lane;
      next_[lane] = last + stride_;
    }
    bus_free_ = std::max(bus_free_, last + slot_);
    return last;
  }

 private:
  [[nodiscard]] std::uint64_t in_lane(std::uint32_t lane, std::uint64_t cycle) const {
    const std::uint64_t next = next_[lane];
    return cycle <= next ? next : next + (cycle - next + stride_ - 1) / stride_ * stride_;
  }

  std::uint32_t slot_, lanes_, stride_;
  std::uint64_t bus_free_ = 0;  // every burst taken so far leaves room for one from here on
  std::array<std::uint64_t, kMaxLanes> next_{};
};

}  // namespace lightcone::hardware
