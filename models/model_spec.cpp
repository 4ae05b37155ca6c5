// SPDX-License-Identifier: Apache-2.0
#include "models/model_spec.h"

#include <fmt/core.h>

#include <set>
#include <utility>

#include "models/families/layer_kinds.h"
#include "sim/base/error.h"
#include "sim/base/field_locations.h"

namespace lightcone::models {

std::vector<SpecFault> faults(const ModelSpec& model) {
  std::vector<SpecFault> out;
  const FaultList list(out);
  list.require("vocabulary", model.vocabulary);
  list.require("d_model", model.d_model);
  if (model.position == PositionKind::learned && model.max_positions == 0)
    list.add("max_positions", "must be given with learned positions: the rows of their table");
  if (model.blocks.empty()) list.add("block", "is missing: a model has at least one block of layers");
  std::set<std::string> names;
  for (std::size_t i = 0; i < model.blocks.size(); ++i) {
    const Block& block = model.blocks[i];
    const FaultList inside = list.inside(element_path("block", static_cast<int>(i)));
    inside.require("layers", block.layers);
    if (!names.insert(block.name).second) inside.add("name", "\"" + block.name + "\" is the name of another block too");
    std::visit([&](const auto& mixer) { check_kind(mixer, inside, model); }, block.mixer);
    std::visit([&](const auto& mlp) { check_kind(mlp, inside, model); }, block.mlp);
  }
  return out;
}

void check(const ModelSpec& model) {
  std::vector<Diagnostic> all;
  for (SpecFault& fault : faults(model)) {
    all.push_back(
        {{model.name.empty() ? "model" : model.name, 0, 0}, std::move(fault.field), std::move(fault.message), {}});
  }
  if (!all.empty()) throw ConfigError(std::move(all));
}

}  // namespace lightcone::models
