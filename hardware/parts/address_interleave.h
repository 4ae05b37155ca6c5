// SPDX-License-Identifier: Apache-2.0
// How lines are spread over L2 slices: each run of N consecutive granules meets every one of N slices once, rotated by
// a hash of the run so that power-of-two strides do not pile up on one slice. One-to-one, hence invertible. The real
// hash of NVIDIA's parts is not published; what is modelled is its effect, even spreading.
#pragma once

#include <cstdint>

#include "sim/base/error.h"

namespace lightcone::hardware {

class AddressInterleave {
 public:
  struct Place {
    std::uint32_t unit;        // slice
    std::uint32_t local_line;  // dense inside the slice
  };

  AddressInterleave(std::uint32_t units, std::uint32_t lines_per_granule)
      : units_(units), lines_per_granule_(lines_per_granule) {
    LIGHTCONE_ASSERT(units > 0 && lines_per_granule > 0);
  }

  [[nodiscard]] Place place(std::uint64_t line) const {
    const std::uint64_t granule = line / lines_per_granule_;
    const std::uint64_t run = granule / units_;
    const auto unit = static_cast<std::uint32_t>((granule % units_ + rotation(run)) % units_);
    return {unit, static_cast<std::uint32_t>(run * lines_per_granule_ + line % lines_per_granule_)};
  }

  [[nodiscard]] std::uint64_t line(Place place) const {
    const std::uint64_t run = place.local_line / lines_per_granule_;
    const std::uint64_t position = (place.unit + units_ - rotation(run)) % units_;
    return (run * units_ + position) * lines_per_granule_ + place.local_line % lines_per_granule_;
  }

 private:
  [[nodiscard]] std::uint32_t rotation(std::uint64_t run) const {
    std::uint64_t h = run * 0x9e3779b97f4a7c15ull;  // Fibonacci hashing
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    return static_cast<std::uint32_t>((h >> 33) % units_);
  }

  std::uint32_t units_;
  std::uint32_t lines_per_granule_;
};

}  // namespace lightcone::hardware
