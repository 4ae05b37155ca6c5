// SPDX-License-Identifier: Apache-2.0
#include "hardware/program/tile_program.h"

#include <algorithm>

#include "sim/base/error.h"

namespace lightcone::hardware {

std::uint64_t TileProgram::cta_count() const {
  std::uint64_t count = 0;
  for (const CtaGroup& group : groups) count += group.count();
  return count;
}

std::array<std::int64_t, 4> coordinates(const CtaGroup& group, std::uint64_t index) {
  LIGHTCONE_ASSERT(index < group.count());
  const std::uint64_t width = group.extent[0];
  const std::uint64_t height = group.extent[1];
  const std::uint64_t plane = width * height;
  const std::uint64_t outer = index / plane;
  const std::uint64_t inside = index % plane;

  std::uint64_t x = inside % width;
  std::uint64_t y = inside / width;
  if (group.band > 0) {
    // Every band but the last is `band` wide and runs through all of cta1 before the next begins.
    const std::uint64_t start = inside / (group.band * height) * group.band;
    const std::uint64_t band_width = std::min<std::uint64_t>(group.band, width - start);
    const std::uint64_t in_band = inside - start * height;
    x = start + in_band % band_width;
    y = in_band / band_width;
  }
  return {group.origin[0] + static_cast<std::int64_t>(x), group.origin[1] + static_cast<std::int64_t>(y),
          group.origin[2] + static_cast<std::int64_t>(outer % group.extent[2]),
          group.origin[3] + static_cast<std::int64_t>(outer / group.extent[2])};
}

}  // namespace lightcone::hardware
