// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "scenarios/run/run_pass.h"

namespace lightcone::scenarios {

std::string readable(Bytes bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = bytes.real();
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes.count()) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

void check_memory(const std::vector<MemoryOwner>& owners, Bytes capacity, const std::string& gpu) {
  Bytes sum;
  for (const MemoryOwner& owner : owners) sum += owner.bytes;
  if (sum <= capacity) return;
  std::vector<MemoryOwner> sorted = owners;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const MemoryOwner& a, const MemoryOwner& b) { return a.bytes > b.bytes; });
  std::string biggest;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, sorted.size()); ++i) {
    biggest += fmt::format("{}{} {} ({} bytes)", i == 0 ? "" : ", ", sorted[i].name, readable(sorted[i].bytes),
                           sorted[i].bytes.count());
  }
  throw ConfigError(fmt::format("does not fit the memory of {}: {} needed, {} there, {} bytes ({}) over; biggest: {}",
                                gpu, readable(sum), readable(capacity), (sum - capacity).count(),
                                readable(sum - capacity), biggest));
}

}  // namespace lightcone::scenarios
