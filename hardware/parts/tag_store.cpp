// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/tag_store.h"

#include <algorithm>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {
constexpr std::uint32_t line_of(std::uint32_t entry) { return entry >> 8; }
constexpr std::uint8_t valid_of(std::uint32_t entry) { return static_cast<std::uint8_t>((entry >> 4) & 0xf); }
constexpr std::uint8_t dirty_of(std::uint32_t entry) { return static_cast<std::uint8_t>(entry & 0xf); }
constexpr std::uint32_t make(std::uint32_t line, unsigned valid, unsigned dirty) {
  return (line << 8) | (valid << 4) | dirty;
}
}  // namespace

TagStore::TagStore(std::uint32_t sets, unsigned ways)
    : ways_(ways), set_count_(std::max(sets, 1u)), sets_(std::max(sets, 1u)) {
  LIGHTCONE_ASSERT(ways >= 1 && ways <= kMaxWays);
}

TagStore::Set& TagStore::set_of(std::uint32_t line) {
  // Neighbours go to neighbouring sets, so that a stream is evicted in the order in which it came and its write-backs
  // keep their rows open in memory; every further turn starts elsewhere, so that strides of the set count spread.
  const std::uint32_t turn = set_count_.quotient(line);
  return sets_[set_count_.remainder(line + turn * 7)];
}

std::uint8_t TagStore::touch(std::uint32_t line) {
  auto& entries = set_of(line).entries;
  for (unsigned way = 0; way < ways_; ++way) {
    const Entry entry = entries[way];
    if (line_of(entry) != line) continue;
    for (; way > 0; --way) entries[way] = entries[way - 1];
    entries[0] = entry;
    return valid_of(entry);
  }
  return 0;
}

std::optional<TagStore::Victim> TagStore::install(std::uint32_t line, std::uint8_t sectors, bool dirty) {
  auto& entries = set_of(line).entries;
  unsigned way = 0;
  while (way < ways_ && line_of(entries[way]) != line) ++way;
  std::optional<Victim> victim;
  unsigned valid = sectors;
  unsigned modified = dirty ? sectors : 0u;
  if (way < ways_) {
    valid |= valid_of(entries[way]);
    modified |= dirty_of(entries[way]);
  } else {
    way = ways_ - 1;
    const Entry last = entries[way];
    if (last != kFree) victim = Victim{line_of(last), dirty_of(last)};
  }
  for (; way > 0; --way) entries[way] = entries[way - 1];
  entries[0] = make(line, valid, modified);
  return victim;
}

void TagStore::fill_with_old_lines(std::uint32_t first, double dirty_fraction) {
  std::uint32_t line = first;
  double owed = 0;
  bool dirty = false;
  for (unsigned way = 0; way < ways_; ++way) {
    for (Set& set : sets_) {
      if (set.entries[way] != kFree) continue;
      if (line % 8 == 0) {  // runs of lines that were written together, spread evenly
        owed += dirty_fraction;
        dirty = owed >= 1;
        if (dirty) owed -= 1;
      }
      set.entries[way] = make(line & kMaxLine, 0xf, dirty ? 0xfu : 0u);
      ++line;
    }
  }
}

}  // namespace lightcone::hardware
