// SPDX-License-Identifier: Apache-2.0
// The command queue of one pseudo-channel: the requests that wait, in fixed arrays, as two first-in-first-out lists per
// bank and direction (requests for the open row, requests for other rows), with one bit per bank that says which lists
// hold something. No allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "hardware/parts/dram_timing.h"

namespace lightcone::hardware {

enum class Direction : std::uint8_t { read, write };

struct WaitingRequest {
  std::uint32_t order = 0;  // age: counts accepted requests, and wraps
  std::uint32_t row = 0;
  std::uint16_t next = 0;  // in its list
  std::uint16_t bytes = 0;
};
// Orders wrap after 2^32 requests; those that wait at the same time are far nearer than that.
inline bool older(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

class HbmQueue {
 public:
  static constexpr std::uint16_t kNone = 0xFFFF;
  static constexpr std::uint32_t kClosed = 0xFFFFFFFF;  // no row open

  explicit HbmQueue(std::size_t requests) : pool_(requests) {
    for (std::size_t i = 0; i < requests; ++i) {
      pool_[i].next = i + 1 < requests ? static_cast<std::uint16_t>(i + 1) : kNone;
    }
  }

  // Puts a request at the end of its list and returns its slot.
  std::uint16_t add(Direction direction, std::uint32_t bank, std::uint32_t row, std::uint32_t bytes) {
    const std::uint16_t slot = free_;
    WaitingRequest& request = pool_[slot];
    free_ = request.next;
    request = {++order_, row, kNone, static_cast<std::uint16_t>(bytes)};
    append(banks_[bank].open_row == row ? kHits : kOthers, direction, bank, slot);
    return slot;
  }

  // The oldest request of the bank in that list; the list must not be empty.
  [[nodiscard]] const WaitingRequest& oldest_hit(Direction d, std::uint32_t bank) const {
    return pool_[banks_[bank].list[kHits][index(d)].head];
  }
  [[nodiscard]] const WaitingRequest& oldest_other(Direction d, std::uint32_t bank) const {
    return pool_[banks_[bank].list[kOthers][index(d)].head];
  }
  // Their ages.
  [[nodiscard]] std::uint32_t hit_order(Direction d, std::uint32_t bank) const {
    return oldest_[kHits][index(d)][bank];
  }
  [[nodiscard]] std::uint32_t other_order(Direction d, std::uint32_t bank) const {
    return oldest_[kOthers][index(d)][bank];
  }
  [[nodiscard]] std::uint32_t last_order() const { return order_; }  // of the request added last
  // Banks (one bit each) with requests for their open row, and with requests for another row.
  [[nodiscard]] std::uint64_t hit_banks(Direction d) const { return used_[kHits][index(d)]; }
  [[nodiscard]] std::uint64_t other_banks(Direction d) const { return used_[kOthers][index(d)]; }
  [[nodiscard]] std::uint64_t busy_banks() const { return used_[0][0] | used_[0][1] | used_[1][0] | used_[1][1]; }
  [[nodiscard]] std::uint32_t open_row(std::uint32_t bank) const { return banks_[bank].open_row; }
  [[nodiscard]] std::uint64_t open_banks() const { return open_banks_; }

  // Removes the oldest hit and returns its slot, which stays readable until the next `add`.
  std::uint16_t pop_hit(Direction d, std::uint32_t bank) {
    List& list = banks_[bank].list[kHits][index(d)];
    const std::uint16_t slot = list.head;
    list.head = pool_[slot].next;
    if (list.head == kNone) {
      used_[kHits][index(d)] &= ~bit(bank);
    } else {
      oldest_[kHits][index(d)][bank] = pool_[list.head].order;
    }
    pool_[slot].next = free_;
    free_ = slot;
    return slot;
  }
  [[nodiscard]] const WaitingRequest& at(std::uint16_t slot) const { return pool_[slot]; }

  void open(std::uint32_t bank, std::uint32_t row);  // requests for `row` become hits
  void close(std::uint32_t bank);                    // hits become others again, in order of age

 private:
  enum Kind : std::uint8_t { kHits, kOthers };
  template <class T>
  using ByKindAndDirection = std::array<std::array<T, 2>, 2>;
  struct List {
    std::uint16_t head = kNone;
    std::uint16_t tail = kNone;
  };
  struct Bank {
    ByKindAndDirection<List> list{};
    std::uint32_t open_row = kClosed;
  };
  static std::size_t index(Direction d) { return static_cast<std::size_t>(d); }
  static std::uint64_t bit(std::uint32_t bank) { return std::uint64_t{1} << bank; }

  void append(Kind kind, Direction d, std::uint32_t bank, std::uint16_t slot) {
    List& list = banks_[bank].list[kind][index(d)];
    if (list.head == kNone) {
      list.head = slot;
      used_[kind][index(d)] |= bit(bank);
      oldest_[kind][index(d)][bank] = pool_[slot].order;
    } else {
      pool_[list.tail].next = slot;
    }
    list.tail = slot;
    pool_[slot].next = kNone;
  }
  List take(Kind kind, Direction d, std::uint32_t bank) {
    used_[kind][index(d)] &= ~bit(bank);
    return std::exchange(banks_[bank].list[kind][index(d)], List{});
  }

  std::vector<WaitingRequest> pool_;
  std::array<Bank, DramTiming::kMaxBanks> banks_{};
  std::uint16_t free_ = 0;
  std::uint32_t order_ = 0;
  std::uint64_t open_banks_ = 0;
  ByKindAndDirection<std::uint64_t> used_{};  // banks, one bit each, whose list is not empty
  ByKindAndDirection<std::array<std::uint32_t, DramTiming::kMaxBanks>> oldest_{};  // of the lists not empty
};

inline void HbmQueue::open(std::uint32_t bank, std::uint32_t row) {
  banks_[bank].open_row = row;
  open_banks_ |= bit(bank);
  for (const Direction d : {Direction::read, Direction::write}) {
    if ((other_banks(d) & bit(bank)) == 0) continue;
    for (std::uint16_t slot = take(kOthers, d, bank).head; slot != kNone;) {
      const std::uint16_t next = pool_[slot].next;
      append(pool_[slot].row == row ? kHits : kOthers, d, bank, slot);
      slot = next;
    }
  }
}

inline void HbmQueue::close(std::uint32_t bank) {
  banks_[bank].open_row = kClosed;
  open_banks_ &= ~bit(bank);
  for (const Direction d : {Direction::read, Direction::write}) {
    if ((hit_banks(d) & bit(bank)) == 0) continue;
    std::uint16_t hit = take(kHits, d, bank).head;
    std::uint16_t other = take(kOthers, d, bank).head;
    while (hit != kNone || other != kNone) {
      const bool take_hit = other == kNone || (hit != kNone && older(pool_[hit].order, pool_[other].order));
      std::uint16_t& from = take_hit ? hit : other;
      const std::uint16_t slot = from;
      from = pool_[slot].next;
      append(kOthers, d, bank, slot);
    }
  }
}

}  // namespace lightcone::hardware
