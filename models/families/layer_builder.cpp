// SPDX-License-Identifier: Apache-2.0
#include "models/families/layer_builder.h"

#include <utility>

#include "sim/base/checked.h"

namespace lightcone::models {

NumberFormat stream_format(NumberFormat activations) {
  return info(activations).bits < 16 ? NumberFormat::bf16 : activations;
}

LayerBuilder::LayerBuilder(const ModelSpec& model, const PhaseShape& shape, Section& section)
    : model_(&model),
      shape_(&shape),
      section_(&section),
      rows_(checked_product("the number of tokens", {shape.batch, shape.tokens})),
      stream_(stream_format(shape.activations)) {}

namespace {

// Nothing is kept for later tokens.
struct WithoutState {
  void operator()(Rotary& op) const { op.writes_kv_cache = false; }
  void operator()(CausalConv& op) const { op.writes_state = false; }
  void operator()(SelectiveScan& op) const { op.writes_state = false; }
  void operator()(LinearAttention& op) const { op.writes_state = false; }
  void operator()(LinearScan& op) const { op.writes_state = false; }
  template <class Op>
  void operator()(Op&) const {}
};

}  // namespace

LayerBuilder::Index LayerBuilder::add(std::string name, Operator op, const std::vector<Index>& inputs) {
  if (shape_->training) std::visit(WithoutState{}, op);
  return section_->add(std::move(name), std::move(op), inputs);
}

LayerBuilder::Index LayerBuilder::linear(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias,
                                         std::vector<Index> inputs) {
  if (shape_->activations != stream_) {
    const std::uint64_t elements = checked_product("an activation", {rows_, k});
    inputs = {add(name + "_quantize", Elementwise{ElementwiseKind::quantize, elements, stream_, shape_->activations},
                  inputs)};
  }
  return add(name,
             Gemm{.m = rows_,
                  .n = n,
                  .k = k,
                  .activation = shape_->activations,
                  .weight = shape_->weights,
                  .output = stream_,
                  .bias = bias},
             inputs);
}

LayerBuilder::Index LayerBuilder::elementwise(const std::string& name, ElementwiseKind kind, std::uint64_t columns,
                                              std::vector<Index> inputs) {
  return add(name, Elementwise{kind, checked_product("an activation", {rows_, columns}), stream_, stream_, columns},
             inputs);
}

LayerBuilder::Index LayerBuilder::convolution(const std::string& name, CausalConv shape, std::vector<Index> inputs) {
  return add(name, over_tokens(shape), inputs);
}

LayerBuilder::Index LayerBuilder::norm(const std::string& name, NormKind kind, std::uint64_t groups,
                                       std::uint64_t columns, std::vector<Index> inputs) {
  return add(name, Norm{kind, checked_product("the norm", {rows_, groups}), columns, false, stream_}, inputs);
}

LayerBuilder::Index LayerBuilder::stream_norm(const std::string& name, bool residual, std::vector<Index> inputs) {
  return add(name, Norm{model_->norm, rows_, model_->d_model, residual, stream_}, inputs);
}

}  // namespace lightcone::models
