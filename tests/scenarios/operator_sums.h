// SPDX-License-Identifier: Apache-2.0
// What the kernels of one operator do together, each of them sound.
#pragma once

#include "catch.h"
#include "hardware/machine/evaluate.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/program_player.h"

namespace lightcone::testing {

struct Sums {
  std::uint64_t matrix = 0, vector = 0, loaded = 0, stored = 0;
  [[nodiscard]] std::uint64_t flops() const { return matrix + vector; }
};

// Checks each kernel of the operator and adds up what they do.
inline Sums sound_sums(const models::Operator& op, const hardware::GpuSpec& gpu,
                       const scenarios::MappingOptions& options = {}) {
  Sums sums;
  for (const hardware::TileProgram& program : scenarios::map_operator(op, gpu, options).kernels) {
    INFO(program.name);
    REQUIRE_NOTHROW(hardware::check(program));
    REQUIRE(hardware::occupancy(program, gpu.sm) >= 1);
    for (const hardware::CtaGroup& group : program.groups) REQUIRE(ProgramPlayer(program, group, 1).run() == "");
    const hardware::ProgramTotals totals = hardware::totals(program);
    sums.matrix += totals.mma_useful.count();
    sums.vector += totals.vector_flops.count();
    sums.loaded += totals.loaded.count();
    sums.stored += totals.stored.count();
  }
  return sums;
}

}  // namespace lightcone::testing
