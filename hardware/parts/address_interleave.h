// SPDX-License-Identifier: Apache-2.0
// How lines are spread over L2 slices: each run of N consecutive granules meets every one of N slices once, rotated by
// a hash of the run so that power-of-two strides do not pile up on one slice. One-to-one, hence invertible. The real
// hash of NVIDIA's parts is not published; what is modelled is its effect, even spreading.
#pragma once

#include <bit>
#include <cstdint>

#include "hardware/parts/fast_divide.h"

namespace lightcone::hardware {

class AddressInterleave {
 public:
  struct Place {
    std::uint32_t unit;        // slice
    std::uint32_t local_line;  // dense inside the slice
  };

  // `lines_per_granule` must be a power of two.
  AddressInterleave(std::uint32_t units, std::uint32_t lines_per_granule)
      : units_(units), shift_(static_cast<std::uint32_t>(std::countr_zero(lines_per_granule))) {
    LIGHTCONE_ASSERT(std::has_single_bit(lines_per_granule));
  }

  [[nodiscard]] Place place(std::uint64_t line) const {
    const auto granule = static_cast<std::uint32_t>(line >> shift_);
    const std::uint32_t run = units_.quotient(granule);
    const std::uint32_t position = granule - run * units_.divisor();
    std::uint32_t unit = position + rotation(run);
    if (unit >= units_.divisor()) unit -= units_.divisor();
    return {unit, (run << shift_) | (static_cast<std::uint32_t>(line) & ((1u << shift_) - 1))};
  }

  [[nodiscard]] std::uint64_t line(Place place) const {
    const std::uint32_t run = place.local_line >> shift_;
    const std::uint32_t turn = rotation(run);
    const std::uint32_t position = place.unit >= turn ? place.unit - turn : place.unit + units_.divisor() - turn;
    return ((std::uint64_t{run} * units_.divisor() + position) << shift_) | (place.local_line & ((1u << shift_) - 1));
  }

 private:
  // Below the number of units, the same for a run every time.
  [[nodiscard]] std::uint32_t rotation(std::uint32_t run) const {
    std::uint64_t h = run * 0x9e3779b97f4a7c15ull;  // Fibonacci hashing
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    return static_cast<std::uint32_t>(((h >> 32) * units_.divisor()) >> 32);
  }

  FastDivider units_;
  std::uint32_t shift_;
};

}  // namespace lightcone::hardware
