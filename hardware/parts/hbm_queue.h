// SPDX-License-Identifier: Apache-2.0
// The command queue of one pseudo-channel: the bursts that wait, in fixed arrays, as two first-in-first-out lists per
// bank and direction (bursts for the open row, bursts for other rows), with one bit per bank that says which lists hold
// something. No allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hardware/parts/dram_timing.h"

namespace lightcone::hardware {

enum class Direction : std::uint8_t { read, write };

struct WaitingBurst {
  std::uint64_t order = 0;  // age: counts accepted bursts from 1
  std::uint32_t row = 0;
  std::uint16_t request = 0;  // slot of the request it belongs to
  std::uint16_t next = 0;     // in its list
};

class HbmQueue {
 public:
  static constexpr std::uint16_t kNone = 0xFFFF;
  static constexpr std::uint32_t kClosed = 0xFFFFFFFF;  // no row open

  explicit HbmQueue(std::size_t bursts) : pool_(bursts) {
    open_row_.fill(kClosed);
    for (std::size_t i = 0; i < bursts; ++i) {
      pool_[i].next = i + 1 < bursts ? static_cast<std::uint16_t>(i + 1) : kNone;
    }
  }

  // True when the row is open.
  bool add(Direction direction, std::uint32_t bank, std::uint32_t row, std::uint16_t request) {
    const std::uint16_t slot = free_;
    WaitingBurst& burst = pool_[slot];
    free_ = burst.next;
    burst = {++order_, row, request, kNone};
    const bool hit = open_row_[bank] == row;
    append(hit ? hits_ : others_, direction, bank, slot);
    return hit;
  }

  // The oldest burst of the bank in that list; the list must not be empty.
  [[nodiscard]] const WaitingBurst& oldest_hit(Direction d, std::uint32_t bank) const {
    return pool_[hits_.list[index(d)][bank].head];
  }
  [[nodiscard]] const WaitingBurst& oldest_other(Direction d, std::uint32_t bank) const {
    return pool_[others_.list[index(d)][bank].head];
  }
  // Banks (one bit each) with bursts for their open row, and with bursts for another row.
  [[nodiscard]] std::uint64_t hit_banks(Direction d) const { return hits_.banks[index(d)]; }
  [[nodiscard]] std::uint64_t other_banks(Direction d) const { return others_.banks[index(d)]; }
  [[nodiscard]] std::uint64_t busy_banks() const {
    return hits_.banks[0] | hits_.banks[1] | others_.banks[0] | others_.banks[1];
  }
  [[nodiscard]] std::uint32_t open_row(std::uint32_t bank) const { return open_row_[bank]; }
  [[nodiscard]] std::uint64_t open_banks() const { return open_banks_; }

  // Removes the oldest hit and returns its request.
  std::uint16_t pop_hit(Direction d, std::uint32_t bank) {
    List& list = hits_.list[index(d)][bank];
    const std::uint16_t slot = list.head;
    list.head = pool_[slot].next;
    if (list.head == kNone) hits_.banks[index(d)] &= ~bit(bank);
    pool_[slot].next = free_;
    free_ = slot;
    return pool_[slot].request;
  }

  void open(std::uint32_t bank, std::uint32_t row);  // bursts for `row` become hits
  void close(std::uint32_t bank);                    // hits become others again, in order of age

 private:
  struct List {
    std::uint16_t head = kNone;
    std::uint16_t tail = kNone;
  };
  struct Lists {
    std::array<std::array<List, DramTiming::kMaxBanks>, 2> list{};
    std::array<std::uint64_t, 2> banks{};
  };
  static std::size_t index(Direction d) { return static_cast<std::size_t>(d); }
  static std::uint64_t bit(std::uint32_t bank) { return std::uint64_t{1} << bank; }

  void append(Lists& lists, Direction d, std::uint32_t bank, std::uint16_t slot) {
    List& list = lists.list[index(d)][bank];
    if (list.head == kNone) {
      list.head = slot;
      lists.banks[index(d)] |= bit(bank);
    } else {
      pool_[list.tail].next = slot;
    }
    list.tail = slot;
    pool_[slot].next = kNone;
  }

  std::vector<WaitingBurst> pool_;
  std::uint16_t free_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t open_banks_ = 0;
  std::array<std::uint32_t, DramTiming::kMaxBanks> open_row_{};
  Lists hits_;
  Lists others_;
};

inline void HbmQueue::open(std::uint32_t bank, std::uint32_t row) {
  open_row_[bank] = row;
  open_banks_ |= bit(bank);
  for (const Direction d : {Direction::read, Direction::write}) {
    std::uint16_t slot = others_.list[index(d)][bank].head;
    others_.list[index(d)][bank] = {};
    others_.banks[index(d)] &= ~bit(bank);
    while (slot != kNone) {
      const std::uint16_t next = pool_[slot].next;
      append(pool_[slot].row == row ? hits_ : others_, d, bank, slot);
      slot = next;
    }
  }
}

inline void HbmQueue::close(std::uint32_t bank) {
  open_row_[bank] = kClosed;
  open_banks_ &= ~bit(bank);
  for (const Direction d : {Direction::read, Direction::write}) {
    if ((hits_.banks[index(d)] & bit(bank)) == 0) continue;
    std::uint16_t hit = hits_.list[index(d)][bank].head;
    std::uint16_t other = others_.list[index(d)][bank].head;
    hits_.list[index(d)][bank] = {};
    others_.list[index(d)][bank] = {};
    hits_.banks[index(d)] &= ~bit(bank);
    while (hit != kNone || other != kNone) {
      const bool take_hit = other == kNone || (hit != kNone && pool_[hit].order < pool_[other].order);
      std::uint16_t& from = take_hit ? hit : other;
      const std::uint16_t slot = from;
      from = pool_[slot].next;
      append(others_, d, bank, slot);
    }
  }
}

}  // namespace lightcone::hardware
