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
      rows_(checked_product("the number of tokens", {shape.batch, shape.tokens}) / model.share.context),
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

LayerBuilder::Index LayerBuilder::add(std::string name, Operator op, const std::vector<Index>& inputs,
                                      std::optional<Communication> input_gradient) {
  if (shape_->training) std::visit(WithoutState{}, op);
  return section_->add(std::move(name), std::move(op), inputs, std::move(input_gradient));
}

std::uint64_t LayerBuilder::stream_rows() const {
  return share().sequence_parallel ? (rows_ + share().tensor - 1) / share().tensor : rows_;
}

LayerBuilder LayerBuilder::on_stream_rows() const {
  LayerBuilder other = *this;
  other.rows_ = stream_rows();
  return other;
}

Communication LayerBuilder::among_tensor_ranks(CollectiveKind kind, std::uint64_t columns, NumberFormat format) const {
  return {kind, ParallelAxis::tensor, share().tensor, checked_product("a message", {rows_, columns}), format};
}

std::vector<LayerBuilder::Index> LayerBuilder::gathered(const std::string& name, std::vector<Index> inputs) {
  if (!share().sequence_parallel) return inputs;
  return {add(name, among_tensor_ranks(CollectiveKind::all_gather, d_model(), stream_), inputs)};
}

LayerBuilder::Index LayerBuilder::summed(const std::string& name, Index part) {
  if (share().tensor == 1) return part;
  const CollectiveKind kind = share().sequence_parallel ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce;
  return add(name, among_tensor_ranks(kind, d_model(), stream_), {part});
}

LayerBuilder::Index LayerBuilder::summed_within(const std::string& name, std::uint64_t columns, NumberFormat format,
                                                Index part) {
  if (share().tensor == 1) return part;
  const Communication sum = among_tensor_ranks(CollectiveKind::all_reduce, columns, format);
  return add(name, sum, {part}, sum);
}

// With sequence parallelism the backward of the gather sums the stream's gradient.
LayerBuilder::Index LayerBuilder::linear(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias,
                                         std::vector<Index> inputs) {
  return product(name, k, n, bias, std::move(inputs), gradient_sum(k));
}

std::optional<Communication> LayerBuilder::gradient_sum(std::uint64_t columns) const {
  const bool by_gather = share().sequence_parallel && columns == d_model();
  if (share().tensor == 1 || !shape_->training || by_gather) return {};
  return among_tensor_ranks(CollectiveKind::all_reduce, columns, stream_);
}

LayerBuilder::Index LayerBuilder::row_linear(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias,
                                             std::vector<Index> inputs) {
  return product(name, k, n, bias, std::move(inputs), {});
}

LayerBuilder::Index LayerBuilder::whole_linear(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias,
                                               std::vector<Index> inputs) {
  return product(name, k, n, bias, std::move(inputs), {});
}

LayerBuilder::Index LayerBuilder::product(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias,
                                          std::vector<Index> inputs, std::optional<Communication> input_gradient) {
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
             inputs, std::move(input_gradient));
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
  return add(name, Norm{model_->norm, stream_rows(), model_->d_model, residual, stream_}, inputs);
}

}  // namespace lightcone::models
