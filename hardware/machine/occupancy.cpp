// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "hardware/machine/evaluate.h"
#include "sim/base/checked.h"

namespace lightcone::hardware {

namespace {

// Allocation granularity, CUDA occupancy calculator (compute capability 7.0 to 10.0).
constexpr std::uint64_t kWarpSize = 32;
constexpr std::uint64_t kRegistersPerUnit = 256;  // registers are given to a warp in units of this many
constexpr std::uint64_t kReservedShared = 1024;   // bytes of shared memory the system takes per CTA

}  // namespace

std::uint32_t occupancy(const TileProgram& program, const SmSpec& sm) {
  const std::uint64_t warps = ceil_div(std::max<std::uint32_t>(program.threads_per_cta, 1), kWarpSize);
  const std::uint64_t registers = warps * round_up(program.registers_per_thread * kWarpSize, kRegistersPerUnit);
  std::uint64_t fit = std::min<std::uint64_t>(sm.max_ctas, sm.max_threads / (warps * kWarpSize));
  if (registers > 0) fit = std::min<std::uint64_t>(fit, sm.registers / registers);

  const std::uint64_t shared = program.shared_memory_per_cta.count();
  if (shared > sm.shared_memory_per_cta.count()) return 0;
  if (shared > 0) {
    // The largest CTA fits by definition, whether or not the machine file counts its reserved part.
    const std::uint64_t available =
        std::max(sm.shared_memory.count(), sm.shared_memory_per_cta.count() + kReservedShared);
    fit = std::min<std::uint64_t>(fit, available / (shared + kReservedShared));
  }
  return static_cast<std::uint32_t>(fit);
}

}  // namespace lightcone::hardware
