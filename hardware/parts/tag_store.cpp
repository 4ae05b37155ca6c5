// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/tag_store.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <bit>

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
    : ways_(ways), set_count_(std::max(sets, 1u)), sets_(std::max(sets, 1u)), tree_(std::max(sets, 1u), 0) {
  LIGHTCONE_ASSERT(ways >= 1 && ways <= kMaxWays);
}

std::uint32_t TagStore::set_of(std::uint32_t line) const {
  // Neighbours go to neighbouring sets, so that a stream is evicted in the order in which it came and its write-backs
  // keep their rows open in memory; every further turn starts elsewhere, so that strides of the set count spread.
  return set_count_.remainder(line + set_count_.quotient(line) * 7);
}

unsigned TagStore::find(const Set& set, std::uint32_t line) {
#ifdef __SSE2__
  const auto* entries = reinterpret_cast<const __m128i*>(set.entries.data());  // NOLINT: intrinsics want this
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(line));
  const auto equal = [&](int i) { return _mm_cmpeq_epi32(_mm_srli_epi32(_mm_load_si128(entries + i), 8), wanted); };
  const __m128i low = _mm_packs_epi32(equal(0), equal(1));
  const __m128i high = _mm_packs_epi32(equal(2), equal(3));
  const auto mask = static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
  return mask == 0 ? kMaxWays : static_cast<unsigned>(std::countr_zero(mask));
#else
  for (unsigned way = 0; way < kMaxWays; ++way) {
    if (line_of(set.entries[way]) == line) return way;
  }
  return kMaxWays;
#endif
}

// The tree has 16 leaves: node 1 is the root, nodes 2n and 2n + 1 are the children of n.
void TagStore::use(std::uint32_t set, unsigned way) {
  unsigned bits = tree_[set];
  for (unsigned node = (way + kMaxWays) >> 1, below = way & 1; node > 0; below = node & 1, node >>= 1) {
    bits = below != 0 ? bits & ~(1u << node) : bits | (1u << node);
  }
  tree_[set] = static_cast<std::uint16_t>(bits);
}

unsigned TagStore::least_recent(std::uint32_t set) const {
  const unsigned bits = tree_[set];
  unsigned node = 1;
  while (node < kMaxWays) node = 2 * node + ((bits >> node) & 1);
  const unsigned way = node - kMaxWays;
  return way < ways_ ? way : way % ways_;
}

std::uint8_t TagStore::touch(std::uint32_t line) {
  const std::uint32_t set = set_of(line);
  const unsigned way = find(sets_[set], line);
  if (way == kMaxWays) return 0;
  use(set, way);
  return valid_of(sets_[set].entries[way]);
}

std::optional<TagStore::Victim> TagStore::install(std::uint32_t line, std::uint8_t sectors, bool dirty) {
  const std::uint32_t set = set_of(line);
  auto& entries = sets_[set].entries;
  unsigned way = find(sets_[set], line);
  std::optional<Victim> victim;
  if (way < kMaxWays) {
    entries[way] |= make(0, sectors, dirty ? sectors : 0u);
  } else {
    way = find(sets_[set], kFreeLine);
    if (way >= ways_) {
      way = least_recent(set);
      victim = Victim{line_of(entries[way]), dirty_of(entries[way])};
    }
    entries[way] = make(line, sectors, dirty ? sectors : 0u);
  }
  use(set, way);
  return victim;
}

void TagStore::fill_with_old_lines(std::uint32_t first, double dirty_fraction) {
  std::uint32_t line = first;
  double owed = 0;
  bool dirty = false;
  for (unsigned way = 0; way < ways_; ++way) {
    for (Set& set : sets_) {
      if (line_of(set.entries[way]) != kFreeLine) continue;
      if (line % 8 == 0) {  // runs of lines that were written together, spread evenly
        owed += dirty_fraction;
        dirty = owed >= 1;
        if (dirty) owed -= 1;
      }
      set.entries[way] = make(line, 0xf, dirty ? 0xfu : 0u);
      ++line;
    }
  }
}

}  // namespace lightcone::hardware
