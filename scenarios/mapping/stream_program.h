// SPDX-License-Identifier: Apache-2.0
// Kernels that stream: every unit (a value, a row) takes its share of each tensor, in order, and nothing of another
// unit. A CTA takes `turns` times `units_per_turn` units, one turn after the other; what is left over is dealt one turn
// to a CTA. Not modelled: loads of the next turn that start before this one's arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/program/tile_program.h"

namespace lightcone::scenarios {

enum class StreamUse : std::uint8_t { read, write, update };

struct Stream {
  std::string name;
  std::uint64_t bits = 0;  // of one unit
  StreamUse use = StreamUse::read;
  hardware::Residency residency = hardware::Residency::warm;
};

struct StreamShape {
  std::uint64_t units = 0, units_per_turn = 0, turns = 1;
  std::uint32_t threads = 256, registers = 40;
};

// `work`: of one whole turn. `at_end` and `before`: once per CTA, whose number is cta0 (not consecutive between whole
// CTAs and those of the rest); it may use tensors that the caller appends after the streams, in order. Throws
// ConfigError when the grid is larger than 2^32 CTAs.
hardware::TileProgram stream_program(std::string name, const StreamShape& shape, const std::vector<Stream>& streams,
                                     const std::vector<hardware::Op>& work,
                                     const std::vector<hardware::Op>& at_end = {},
                                     const std::vector<hardware::Op>& before = {});

// CTAs of the whole chunks and of the rest, and the largest cta0 plus one.
struct StreamGrid {
  std::uint64_t whole = 0, rest = 0, numbers = 0;
};
StreamGrid stream_grid(const StreamShape& shape);

// Turns of each CTA so that about `ctas` of them take all units.
std::uint64_t turns_for(std::uint64_t units, std::uint64_t units_per_turn, std::uint64_t ctas);

}  // namespace lightcone::scenarios
