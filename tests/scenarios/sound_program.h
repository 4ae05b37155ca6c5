// SPDX-License-Identifier: Apache-2.0
// What every program of the mapping must be.
#pragma once

#include <algorithm>
#include <cstdint>

#include "catch.h"
#include "hardware/machine/evaluate.h"
#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "scenarios/program_player.h"

namespace lightcone::testing {

// Well formed, fits an SM, cannot deadlock.
inline void require_sound(const hardware::TileProgram& program, const hardware::GpuSpec& gpu) {
  INFO(program.name);
  REQUIRE_NOTHROW(hardware::check(program));
  REQUIRE(hardware::occupancy(program, gpu.sm) >= 1);
  for (std::size_t i = 0; i < program.groups.size(); i += std::max<std::size_t>(1, program.groups.size() / 16)) {
    REQUIRE(ProgramPlayer(program, program.groups[i], program.persistent ? 3 : 1).run() == "");
  }
}

inline std::uint64_t stored(const hardware::TileProgram& program) { return hardware::totals(program).stored.count(); }

}  // namespace lightcone::testing
