// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/strided_copy.h"

#include <fmt/core.h>

#include "scenarios/mapping/matrix_view.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kThreads = 128, kPerThread = 4;
// Division by a constant found at run time (multiply high, add, shift), remainder, and its product with the stride of
// each of the two tensors; the test for the last dimension.
constexpr std::uint64_t kIntOpsPerDimension = 8;
constexpr std::uint64_t kIntOpsPerValue = 4;  // bounds, index, two addresses

}  // namespace

TileProgram strided_copy_program(std::uint64_t elements, NumberFormat format, std::uint64_t dimensions) {
  if (elements == 0) throw ConfigError("strided copy: elements is zero");
  checked_product("strided copy bytes", {elements, 64});
  const std::uint64_t per_cta = kThreads * kPerThread;
  if (ceil_div(elements, per_cta) > UINT32_MAX) throw ConfigError("strided copy: more than 2^32 CTAs");
  TileProgram program;
  program.name = fmt::format("strided_copy_{}", name(format));
  program.threads_per_cta = kThreads;
  program.registers_per_thread = 32;
  const Bytes bytes = storage(format, elements);
  program.tensors = {{"input", bytes, Residency::warm, false}, {"output", bytes, Residency::warm, true}};
  const auto piece = [&](std::uint32_t tensor) {
    const MatrixView view{tensor, 1, bytes.count(), bytes.count(), {}, 0};
    return tile_box(view, Var::none, 1, Var::cta0, storage(format, per_cta).count());
  };
  VectorWork index;
  index.int_ops = per_cta * (kIntOpsPerDimension * dimensions + kIntOpsPerValue);
  program.classes = {
      {"piece",
       {Role{
           "threads", kThreads / 32, {index, GlobalLoad{piece(0)}, WaitLoads{}, GlobalStore{piece(1), CopyPath::lsu}}}},
       {}}};
  CtaGroup group;
  group.extent[0] = static_cast<std::uint32_t>(ceil_div(elements, per_cta));
  program.groups = {group};
  return program;
}

}  // namespace lightcone::scenarios
