// SPDX-License-Identifier: Apache-2.0
// Tags of a sectored, set-associative cache with least-recently-used replacement: an L2 slice or an L1. A set is one
// host cache line of 16 entries kept in order of use, so that a look-up costs one memory access.
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

  // `sets` may be any number; lines are spread over them by a hash.
  TagStore(std::uint32_t sets, unsigned ways);

  struct Victim {
    std::uint32_t line;
    std::uint8_t dirty_sectors;
  };

  // Sectors of `line` that are present; the line becomes the most recently used.
  std::uint8_t touch(std::uint32_t line);
  // Adds `sectors` to `line`, allocating it if absent. Returns the line that had to go, if any.
  std::optional<Victim> install(std::uint32_t line, std::uint8_t sectors, bool dirty);
  // Fills every free entry with lines `first`, `first` + 1, ... (old contents of a cache in use), the share
  // `dirty_fraction` of them modified.
  void fill_with_old_lines(std::uint32_t first, double dirty_fraction);

 private:
  // 24 bits line (all ones: free), 4 bits valid sectors, 4 bits dirty sectors.
  using Entry = std::uint32_t;
  static constexpr Entry kFree = 0xffffff00u;
  struct alignas(64) Set {
    std::array<Entry, kMaxWays> entries;
    Set() { entries.fill(kFree); }
  };
  Set& set_of(std::uint32_t line);

  unsigned ways_;
  FastDivider set_count_;
  std::vector<Set> sets_;
};

}  // namespace lightcone::hardware
