// SPDX-License-Identifier: Apache-2.0
// Which fetch is under way for a line: the look-up side of the L2's miss registers. Open addressing with linear
// probing; it grows as needed and never depends on pointer order.
#pragma once

#include <cstdint>
#include <vector>

#include "hardware/parts/line_request.h"

namespace lightcone::hardware {

class LineTable {
 public:
  LineTable() : keys_(kFirstSize, kFree), values_(kFirstSize) {}

  // The value of `key`, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const {
    for (std::size_t i = home(key);; i = (i + 1) & mask()) {
      if (keys_[i] == key) return values_[i];
      if (keys_[i] == kFree) return kNone;
    }
  }
  void insert(std::uint64_t key, std::uint32_t value) {
    if (2 * ++count_ > keys_.size()) grow();
    place(key, value);
  }
  void erase(std::uint64_t key) {
    std::size_t hole = home(key);
    while (keys_[hole] != key) {
      LIGHTCONE_ASSERT(keys_[hole] != kFree);
      hole = (hole + 1) & mask();
    }
    --count_;
    // Close the gap: move back every later entry of the cluster that may stand here.
    for (std::size_t i = (hole + 1) & mask(); keys_[i] != kFree; i = (i + 1) & mask()) {
      const std::size_t wanted = home(keys_[i]);
      if (((i - wanted) & mask()) < ((i - hole) & mask())) continue;
      keys_[hole] = keys_[i];
      values_[hole] = values_[i];
      hole = i;
    }
    keys_[hole] = kFree;
  }

 private:
  static constexpr std::size_t kFirstSize = 1u << 14;
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  [[nodiscard]] std::size_t mask() const { return keys_.size() - 1; }
  [[nodiscard]] std::size_t home(std::uint64_t key) const { return ((key * 0x9e3779b97f4a7c15ull) >> 24) & mask(); }
  void place(std::uint64_t key, std::uint32_t value) {
    std::size_t i = home(key);
    while (keys_[i] != kFree) i = (i + 1) & mask();
    keys_[i] = key;
    values_[i] = value;
  }
  void grow() {
    std::vector<std::uint64_t> keys(keys_.size() * 2, kFree);
    std::vector<std::uint32_t> values(keys.size());
    keys.swap(keys_);
    values.swap(values_);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (keys[i] != kFree) place(keys[i], values[i]);
    }
  }

  std::vector<std::uint64_t> keys_;
  std::vector<std::uint32_t> values_;
  std::size_t count_ = 0;
};

}  // namespace lightcone::hardware
