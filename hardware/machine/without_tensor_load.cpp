// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <variant>

#include "hardware/machine/evaluate.h"

namespace lightcone::hardware {

namespace {

bool multiplies(const CtaClass& cta_class) {
  return std::any_of(cta_class.roles.begin(), cta_class.roles.end(), [](const Role& role) {
    return std::any_of(role.ops.begin(), role.ops.end(), [](const Op& op) { return std::holds_alternative<Mma>(op); });
  });
}

}  // namespace

std::optional<GpuSpec> without_tensor_load(const TileProgram& program, const GpuSpec& gpu) {
  if (gpu.clock.maximum <= gpu.clock.boost) return std::nullopt;
  if (std::any_of(program.classes.begin(), program.classes.end(), multiplies)) return std::nullopt;
  std::optional<GpuSpec> light(gpu);
  light->clock.boost = gpu.clock.maximum;
  return light;
}

}  // namespace lightcone::hardware
