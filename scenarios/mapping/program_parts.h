// SPDX-License-Identifier: Apache-2.0
// How kernels put a tile program together: its shape, classes of CTAs, and their groups.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "hardware/program/tile_program.h"

namespace lightcone::scenarios {

// The place of a class in its program. Asserts that there is a number for it.
using ClassIndex = decltype(hardware::CtaGroup::cta_class);
ClassIndex class_index(std::size_t index);

// What one CTA takes of an SM.
struct CtaShape {
  std::uint32_t warps = 4;
  std::uint32_t registers = 64;  // per thread
  std::uint64_t shared_bytes = 1024;
};

// A program of CTAs of this shape, without classes and groups.
hardware::TileProgram empty_program(std::string name, CtaShape shape, std::vector<hardware::Tensor> tensors);

// A program of one role over a grid of at most four coordinates. Throws ConfigError beyond 2^32 - 1 CTAs.
hardware::TileProgram one_role(std::string name, CtaShape shape, std::vector<hardware::Tensor> tensors,
                               std::vector<hardware::Op> ops, std::array<std::uint64_t, 4> extent);

// Adds a group of CTAs of class `cta_class` whose coordinates start at `origin`.
void add_group(hardware::TileProgram& program, ClassIndex cta_class, std::array<std::uint64_t, 4> extent,
               std::array<std::int64_t, 4> origin = {});

// Adds a class and a group of its CTAs.
hardware::CtaGroup& add_class(hardware::TileProgram& program, hardware::CtaClass cta_class,
                              std::array<std::uint64_t, 4> extent, std::array<std::int64_t, 4> origin = {});

// Adds groups of class 0 that go over `rows` rows of which `distinct` differ: cta0 the row, cta1 the round.
void add_rounds(hardware::TileProgram& program, std::uint64_t rows, std::uint64_t distinct);

// Adds the only class of `part`, with its groups: both go over the same tensors.
void append_class(hardware::TileProgram& program, hardware::TileProgram part);

}  // namespace lightcone::scenarios
