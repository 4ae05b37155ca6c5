// SPDX-License-Identifier: Apache-2.0
// What the kinds of layers build their operators with: the section under construction, the sizes and formats of the
// pass, and the steps that all of them take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/families/pass_shape.h"
#include "models/graph/graph.h"
#include "models/model_spec.h"

namespace lightcone::models {

class LayerBuilder {
 public:
  using Index = Section::Index;
  LayerBuilder(const ModelSpec& model, const PhaseShape& shape, Section& section);

  [[nodiscard]] const ModelSpec& model() const { return *model_; }
  [[nodiscard]] const PhaseShape& shape() const { return *shape_; }
  [[nodiscard]] std::uint64_t d_model() const { return model_->d_model; }
  [[nodiscard]] std::uint64_t rows() const { return rows_; }  // tokens of all sequences, of context ranks their own
  // Of those, the ones whose part of the stream this rank keeps: all, but with sequence parallelism.
  [[nodiscard]] std::uint64_t stream_rows() const;
  // The same builder for operators on those tokens alone.
  [[nodiscard]] LayerBuilder on_stream_rows() const;
  [[nodiscard]] const Share& share() const { return model_->share; }
  [[nodiscard]] NumberFormat stream() const { return stream_; }          // of the residual stream
  [[nodiscard]] bool continues() const { return shape_->context != 0; }  // on top of a state or cache

  Index add(std::string name, Operator op, const std::vector<Index>& inputs,
            std::optional<Communication> input_gradient = {});

  // C[rows, n] = A[rows, k] x W, with the layer's weights, after quantisation of A where the activations are narrow.
  // Over the tensor ranks W is divided by its columns (each rank has n of them, and its own part of the gradient of A),
  // by its rows (k of them, and a part of the sum C), or on every rank whole.
  Index linear(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias, std::vector<Index> inputs);
  Index row_linear(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias, std::vector<Index> inputs);
  Index whole_linear(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias, std::vector<Index> inputs);

  // Where the tensor ranks meet (Shoeybi et al. 2019, Korthikanti et al. 2022); nothing is added for one rank.
  // The tokens of all ranks before a layer's matrices, with sequence parallelism.
  std::vector<Index> gathered(const std::string& name, std::vector<Index> inputs);
  // The sum over the ranks behind them: of all tokens, or with sequence parallelism of this rank's.
  Index summed(const std::string& name, Index part);
  // The sum of `columns` values of every token over the ranks, and of their gradients, inside a layer.
  Index summed_within(const std::string& name, std::uint64_t columns, NumberFormat format, Index part);
  // The sum of the gradients of `columns` values of every token, of which each rank has computed a part.
  [[nodiscard]] std::optional<Communication> gradient_sum(std::uint64_t columns) const;
  // One result for each of `columns` values of every token.
  Index elementwise(const std::string& name, ElementwiseKind kind, std::uint64_t columns, std::vector<Index> inputs);
  // A short causal convolution over the tokens of the pass: channels, kernel, filters, bias and SiLU as in `shape`.
  Index convolution(const std::string& name, CausalConv shape, std::vector<Index> inputs);
  // A recurrence over the tokens of the pass: a SelectiveScan, LinearScan or LinearAttention with its own sizes.
  template <class Recurrence>
  Index recurrence(const std::string& name, Recurrence sizes, const std::vector<Index>& inputs) {
    sizes.state_format = shape_->state;
    return add(name, over_tokens(sizes), inputs);
  }
  // A norm of each of `groups` rows of `columns` values of every token.
  Index norm(const std::string& name, NormKind kind, std::uint64_t groups, std::uint64_t columns,
             std::vector<Index> inputs);
  // A norm of the residual stream, after the addition of what came before when `residual`.
  Index stream_norm(const std::string& name, bool residual, std::vector<Index> inputs);

 private:
  Index product(const std::string& name, std::uint64_t k, std::uint64_t n, bool bias, std::vector<Index> inputs,
                std::optional<Communication> input_gradient);
  [[nodiscard]] Communication among_tensor_ranks(CollectiveKind kind, std::uint64_t columns, NumberFormat format) const;

  // What operators that go from token to token have in common.
  template <class Op>
  Op over_tokens(Op op) const {
    op.batch = shape_->batch;
    op.tokens = shape_->tokens;
    op.reads_state = continues();
    op.format = stream_;
    return op;
  }

  const ModelSpec* model_;
  const PhaseShape* shape_;
  Section* section_;
  std::uint64_t rows_;
  NumberFormat stream_;
};

// What the residual stream, the tables and the norms keep: 16 bits at least.
NumberFormat stream_format(NumberFormat activations);

}  // namespace lightcone::models
