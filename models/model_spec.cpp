// SPDX-License-Identifier: Apache-2.0
#include "models/model_spec.h"

#include <fmt/core.h>

#include <utility>

#include "sim/base/error.h"
#include "sim/base/field_locations.h"

namespace lightcone::models {
namespace {

class FaultList {
 public:
  explicit FaultList(std::vector<SpecFault>& out, std::string path = {}) : out_(out), path_(std::move(path)) {}
  void add(const std::string& field, std::string message) const {
    out_.push_back({join_path(path_, field), std::move(message)});
  }
  void require(const std::string& field, std::uint64_t value) const {
    if (value == 0) add(field, "must be at least 1");
  }
  [[nodiscard]] FaultList inside(const std::string& field) const { return FaultList(out_, join_path(path_, field)); }

 private:
  std::vector<SpecFault>& out_;
  std::string path_;
};

void check_kind(const AttentionMixer& a, const FaultList& block, PositionKind position) {
  const FaultList list = block.inside("attention");
  list.require("heads", a.heads);
  list.require("kv_heads", a.kv_heads);
  list.require("head_dim", a.head_dim);
  if (a.heads != 0 && a.kv_heads != 0 && a.heads % a.kv_heads != 0)
    list.add("kv_heads",
             fmt::format("{} does not divide heads {}: each KV head serves as many heads", a.kv_heads, a.heads));
  if (position == PositionKind::rotary && a.head_dim % 2 != 0)
    list.add("head_dim", fmt::format("{} is odd: rotary positions turn pairs of values", a.head_dim));
}

void check_kind(const DenseMlp& mlp, const FaultList& block) {
  const FaultList list = block.inside("dense_mlp");
  list.require("d_ff", mlp.d_ff);
  if (mlp.gated && mlp.activation == Activation::relu)
    list.add("activation", "a gated MLP with ReLU is not modelled; allowed: SILU, GELU");
  if (!mlp.gated && mlp.activation == Activation::silu)
    list.add("activation", "a plain MLP with SiLU is not modelled; allowed: GELU, RELU");
}

}  // namespace

std::vector<SpecFault> faults(const ModelSpec& model) {
  std::vector<SpecFault> out;
  const FaultList list(out);
  list.require("vocabulary", model.vocabulary);
  list.require("d_model", model.d_model);
  if (model.position == PositionKind::learned && model.max_positions == 0)
    list.add("max_positions", "must be given with learned positions: the rows of their table");
  if (model.blocks.empty()) list.add("block", "is missing: a model has at least one block of layers");
  for (std::size_t i = 0; i < model.blocks.size(); ++i) {
    const Block& block = model.blocks[i];
    const FaultList inside = list.inside(element_path("block", static_cast<int>(i)));
    inside.require("layers", block.layers);
    std::visit([&](const auto& mixer) { check_kind(mixer, inside, model.position); }, block.mixer);
    std::visit([&](const auto& mlp) { check_kind(mlp, inside); }, block.mlp);
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
