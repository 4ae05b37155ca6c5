// SPDX-License-Identifier: Apache-2.0
// Tags of a sectored, set-associative cache: an L2 slice or an L1. Replacement is tree pseudo-LRU, as hardware does it:
// one bit per inner node of a binary tree over the ways points to the half that was used longer ago.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "hardware/parts/fast_divide.h"

namespace lightcone::hardware {

class TagStore {
 public:
  static constexpr unsigned kMaxWays = 16;
  static constexpr std::uint32_t kMaxLine = (1u << 24) - 2;  // largest line number it can hold

  // `sets` may be any number; neighbouring lines go to neighbouring sets.
  TagStore(std::uint32_t sets, unsigned ways);

  struct Victim {
    std::uint32_t line;
    std::uint8_t dirty_sectors;
  };

  // Sectors of `line` that are present; the line counts as used.
  std::uint8_t touch(std::uint32_t line);
  // Adds `sectors` to `line`, allocating it if absent. Returns the line that had to go, if any.
  std::optional<Victim> install(std::uint32_t line, std::uint8_t sectors, bool dirty);
  // Fills every free entry with lines `first`, `first` + 1, ... (old contents of a cache in use), the share
  // `dirty_fraction` of them modified.
  void fill_with_old_lines(std::uint32_t first, double dirty_fraction);

 private:
  // 24 bits line (all ones: free), 4 bits valid sectors, 4 bits dirty sectors. A set is one host cache line.
  using Entry = std::uint32_t;
  static constexpr std::uint32_t kFreeLine = 0xffffffu;
  struct alignas(64) Set {
    std::array<Entry, kMaxWays> entries;
    Set() { entries.fill(kFreeLine << 8); }
  };
  [[nodiscard]] std::uint32_t set_of(std::uint32_t line) const;
  // The way of `set` that holds `line`; kMaxWays when none does.
  [[nodiscard]] static unsigned find(const Set& set, std::uint32_t line);
  void use(std::uint32_t set, unsigned way);
  [[nodiscard]] unsigned least_recent(std::uint32_t set) const;

  unsigned ways_;
  FastDivider set_count_;
  std::vector<Set> sets_;
  std::vector<std::uint16_t> tree_;  // per set: bit n set: the right half below node n is the one to replace next
};

}  // namespace lightcone::hardware
