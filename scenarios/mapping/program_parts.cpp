// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/program_parts.h"

#include <limits>
#include <utility>

#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

TileProgram empty_program(std::string name, CtaShape shape, std::vector<Tensor> tensors) {
  TileProgram program;
  program.name = std::move(name);
  program.tensors = std::move(tensors);
  program.threads_per_cta = shape.warps * 32;
  program.registers_per_thread = shape.registers;
  program.shared_memory_per_cta = Bytes(shape.shared_bytes);
  return program;
}

ClassIndex class_index(std::size_t index) {
  LIGHTCONE_ASSERT(index <= std::numeric_limits<ClassIndex>::max());
  return static_cast<ClassIndex>(index);
}

void add_group(TileProgram& program, ClassIndex cta_class, std::array<std::uint64_t, 4> extent,
               std::array<std::int64_t, 4> origin) {
  if (checked_product("CTAs", {extent[0], extent[1], extent[2], extent[3]}) > UINT32_MAX) {
    throw ConfigError(program.name + " would need more than 2^32 CTAs");
  }
  CtaGroup group;
  group.cta_class = cta_class;
  for (std::size_t i = 0; i < 4; ++i) group.extent[i] = static_cast<std::uint32_t>(extent[i]);
  group.origin = origin;
  program.groups.push_back(group);
}

CtaGroup& add_class(TileProgram& program, CtaClass cta_class, std::array<std::uint64_t, 4> extent,
                    std::array<std::int64_t, 4> origin) {
  add_group(program, class_index(program.classes.size()), extent, origin);
  program.classes.push_back(std::move(cta_class));
  return program.groups.back();
}

void add_rounds(TileProgram& program, std::uint64_t rows, std::uint64_t distinct) {
  const std::uint64_t rounds = rows / distinct, rest = rows % distinct;
  add_group(program, 0, {distinct, rounds, 1, 1});
  if (rest > 0) add_group(program, 0, {rest, 1, 1, 1}, {0, static_cast<std::int64_t>(rounds), 0, 0});
}

void append_class(TileProgram& program, TileProgram part) {
  const ClassIndex index = class_index(program.classes.size());
  for (CtaGroup& group : part.groups) group.cta_class = index;
  program.classes.push_back(std::move(part.classes.front()));
  program.groups.insert(program.groups.end(), part.groups.begin(), part.groups.end());
}

TileProgram one_role(std::string name, CtaShape shape, std::vector<Tensor> tensors, std::vector<Op> ops,
                     std::array<std::uint64_t, 4> extent) {
  TileProgram program = empty_program(std::move(name), shape, std::move(tensors));
  program.classes = {{"cta", {Role{"threads", shape.warps, std::move(ops)}}, {}}};
  add_group(program, 0, extent);
  return program;
}

}  // namespace lightcone::scenarios
