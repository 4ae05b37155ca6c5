// SPDX-License-Identifier: Apache-2.0
#include "models/families/dense_transformer.h"

#include <fmt/core.h>

#include <algorithm>
#include <variant>

#include "models/graph/tensor_bytes.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::models {
namespace {

using Index = Section::Index;

// Parameters of a layer: those of its matrices, and the vectors beside them (norms, biases).
struct ParameterParts {
  std::uint64_t matrices = 0, vectors = 0;
};

std::uint64_t product(std::initializer_list<std::uint64_t> factors) { return checked_product("the model", factors); }
std::uint64_t sum(std::initializer_list<std::uint64_t> terms) { return checked_sum("the model", terms); }

std::uint64_t qkv_width(const AttentionMixer& a) {
  return product({sum({a.heads, product({2, a.kv_heads})}), a.head_dim});
}
std::uint64_t query_width(const AttentionMixer& a) { return product({a.heads, a.head_dim}); }
std::uint64_t up_width(const DenseMlp& mlp) { return product({mlp.gated ? 2u : 1u, mlp.d_ff}); }

ParameterParts parameters(const AttentionMixer& a, std::uint64_t d) {
  const std::uint64_t biases = sum({a.qkv_bias ? qkv_width(a) : 0, a.output_bias ? d : 0});
  return {product({d, sum({qkv_width(a), query_width(a)})}), sum({biases, a.qk_norm ? 2 * a.head_dim : 0})};
}
ParameterParts parameters(const DenseMlp& mlp, std::uint64_t d) {
  return {product({d, sum({up_width(mlp), mlp.d_ff})}), mlp.bias ? sum({up_width(mlp), d}) : 0};
}

std::uint64_t norm_parameters(const ModelSpec& model) {
  return product({model.norm == NormKind::layer ? 2u : 1u, model.d_model});
}

ParameterParts layer_parameters(const ModelSpec& model, const Block& block) {
  const auto of = [&](const auto& kind) { return parameters(kind, model.d_model); };
  const ParameterParts mixer = std::visit(of, block.mixer);
  const ParameterParts mlp = std::visit(of, block.mlp);
  return {sum({mixer.matrices, mlp.matrices}), sum({mixer.vectors, mlp.vectors, product({2, norm_parameters(model)})})};
}

// Over all layers.
ParameterParts layers_parameters(const ModelSpec& model) {
  ParameterParts all;
  for (const Block& block : model.blocks) {
    const ParameterParts one = layer_parameters(model, block);
    all.matrices = sum({all.matrices, product({block.layers, one.matrices})});
    all.vectors = sum({all.vectors, product({block.layers, one.vectors})});
  }
  return all;
}

// Embedding, learned positions, LM head, final norm.
std::uint64_t outer_parameters(const ModelSpec& model) {
  const std::uint64_t rows = sum({product({model.tied_embeddings ? 1u : 2u, model.vocabulary}),
                                  model.position == PositionKind::learned ? model.max_positions : 0});
  return sum({product({rows, model.d_model}), norm_parameters(model)});
}

// What the residual stream, the tables and the norms keep.
NumberFormat stream_format(NumberFormat activations) {
  return info(activations).bits < 16 ? NumberFormat::bf16 : activations;
}

Bytes kv_per_layer(const AttentionMixer& a, std::uint64_t tokens, NumberFormat kv) {
  const Bytes token = tensor_bytes("the KV cache", kv, {2, a.kv_heads, a.head_dim});
  return Bytes(product({token.count(), tokens}));
}

// Builds the sections of one pass.
class PassBuilder {
 public:
  PassBuilder(const ModelSpec& model, const PhaseShape& shape)
      : model_(model),
        shape_(shape),
        rows_(checked_product("the number of tokens", {shape.batch, shape.tokens})),
        stream_(stream_format(shape.activations)) {}

  Graph build() const {
    Graph graph;
    graph.sections.push_back(embedding());
    for (const Block& block : model_.blocks) graph.sections.push_back(layers(block));
    graph.sections.push_back(head());
    total_cost(graph);  // every size is known to be sound from here on
    return graph;
  }

 private:
  // The norm before the first layer adds no residual; each further one stands at the end of the layer before.
  [[nodiscard]] Section embedding() const {
    Section s("embedding", 1);
    const Index rows = s.add("embedding", EmbeddingGather{.tokens = rows_,
                                                          .vocabulary = model_.vocabulary,
                                                          .columns = model_.d_model,
                                                          .positions = model_.position == PositionKind::learned,
                                                          .format = stream_});
    s.add("input_norm", norm(false), {rows});
    return s;
  }

  [[nodiscard]] Section layers(const Block& block) const {
    Section s(block.name.empty() ? "layers" : block.name, block.layers);
    const Index mixed = std::visit([&](const auto& mixer) { return add(s, mixer); }, block.mixer);
    const Index normed = s.add("post_mixer_norm", norm(true), {mixed});
    const Index fed = std::visit([&](const auto& mlp) { return add(s, mlp, normed); }, block.mlp);
    s.add("next_norm", norm(true), {fed, normed});  // of the next layer, or the final one
    return s;
  }

  [[nodiscard]] Section head() const {
    Section s("head", 1);
    s.add("lm_head", Gemm{.m = shape_.batch,
                          .n = model_.vocabulary,
                          .k = model_.d_model,
                          .activation = stream_,
                          .weight = stream_,
                          .output = stream_});
    return s;
  }

  Index add(Section& s, const AttentionMixer& a) const {
    const Index qkv = linear(s, "qkv", model_.d_model, qkv_width(a), a.qkv_bias, {});
    const Index placed = s.add(rotary_dim(a) == 0 ? "kv_write" : "rotary", rotary(a), normed_heads(s, a, qkv));
    const Index attended = s.add("attention", attention(a), {placed});
    return linear(s, "output", query_width(a), model_.d_model, a.output_bias, {attended});
  }

  Index add(Section& s, const DenseMlp& mlp, Index input) const {
    const std::string up_name = mlp.gated ? "gate_up" : "up";
    const Index up = linear(s, up_name, model_.d_model, up_width(mlp), mlp.bias, {input});
    const ElementwiseKind kind = activation(mlp);
    const Index active =
        s.add(std::string(name(kind)),
              Elementwise{kind, checked_product("the MLP", {rows_, mlp.d_ff}), stream_, stream_, mlp.d_ff}, {up});
    return linear(s, "down", mlp.d_ff, model_.d_model, mlp.bias, {active});
  }

  // A GEMM with the layer's weights, after quantisation of its input where the activations are narrow.
  Index linear(Section& s, const std::string& name, std::uint64_t k, std::uint64_t n, bool bias,
               std::vector<Index> inputs) const {
    if (shape_.activations != stream_) {
      const std::uint64_t elements = checked_product("an activation", {rows_, k});
      inputs = {s.add(name + "_quantize", Elementwise{ElementwiseKind::quantize, elements, stream_, shape_.activations},
                      inputs)};
    }
    return s.add(name,
                 Gemm{.m = rows_,
                      .n = n,
                      .k = k,
                      .activation = shape_.activations,
                      .weight = shape_.weights,
                      .output = stream_,
                      .bias = bias},
                 inputs);
  }

  // What the rotary embedding waits for: Q, K and V, or the normed heads of Q and K.
  std::vector<Index> normed_heads(Section& s, const AttentionMixer& a, Index qkv) const {
    if (!a.qk_norm) return {qkv};
    const auto of = [&](std::uint64_t heads) {
      return Norm{NormKind::rms, checked_product("the heads", {rows_, heads}), a.head_dim, false, stream_};
    };
    return {s.add("q_norm", of(a.heads), {qkv}), s.add("k_norm", of(a.kv_heads), {qkv})};
  }

  [[nodiscard]] Norm norm(bool residual) const { return {model_.norm, rows_, model_.d_model, residual, stream_}; }

  [[nodiscard]] std::uint64_t rotary_dim(const AttentionMixer& a) const {
    return model_.position == PositionKind::rotary ? a.head_dim : 0;
  }
  [[nodiscard]] Rotary rotary(const AttentionMixer& a) const {
    return {rows_, a.heads, a.kv_heads, a.head_dim, rotary_dim(a), true, stream_, shape_.kv};
  }
  [[nodiscard]] Attention attention(const AttentionMixer& a) const {
    return {.batch = shape_.batch,
            .heads = a.heads,
            .kv_heads = a.kv_heads,
            .q_len = shape_.tokens,
            .kv_len = checked_sum("the sequence", {shape_.context, shape_.tokens}),
            .head_dim = a.head_dim,
            .causal = true,
            .window = a.window,
            .activation = stream_,
            .kv = shape_.kv,
            .paged = shape_.context != 0};
  }
  [[nodiscard]] static ElementwiseKind activation(const DenseMlp& mlp) {
    if (mlp.gated) return mlp.activation == Activation::gelu ? ElementwiseKind::gelu_mul : ElementwiseKind::silu_mul;
    return mlp.activation == Activation::gelu ? ElementwiseKind::gelu : ElementwiseKind::relu;
  }

  const ModelSpec& model_;
  const PhaseShape& shape_;
  std::uint64_t rows_;  // tokens of all sequences
  NumberFormat stream_;
};

void check_shape(const ModelSpec& model, const PhaseShape& shape) {
  if (shape.batch == 0) throw ConfigError("batch must be at least 1");
  if (shape.tokens == 0) throw ConfigError("tokens must be at least 1");
  const std::uint64_t length = checked_sum("the sequence", {shape.context, shape.tokens});
  if (model.position == PositionKind::learned && length > model.max_positions) {
    throw ConfigError(fmt::format("sequences of {} tokens do not fit {}: it has {} learned positions", length,
                                  model.name, model.max_positions));
  }
}

}  // namespace

std::uint64_t parameter_count(const ModelSpec& model) {
  check(model);
  const ParameterParts layers = layers_parameters(model);
  return sum({layers.matrices, layers.vectors, outer_parameters(model)});
}

Bytes weight_bytes(const ModelSpec& model, NumberFormat weights, NumberFormat activations) {
  check(model);
  const ParameterParts layers = layers_parameters(model);
  const Bytes matrices = tensor_bytes("the weights", weights, {layers.matrices});
  const std::uint64_t others = sum({layers.vectors, outer_parameters(model)});
  const Bytes rest = tensor_bytes("the weights", stream_format(activations), {others});
  return Bytes(sum({matrices.count(), rest.count()}));
}

Bytes kv_bytes_per_token(const ModelSpec& model, NumberFormat kv) { return kv_bytes(model, 1, kv); }

Bytes kv_bytes(const ModelSpec& model, std::uint64_t length, NumberFormat kv) {
  check(model);
  Bytes all;
  for (const Block& block : model.blocks) {
    const auto of = [&](const AttentionMixer& a) {
      return kv_per_layer(a, a.window == 0 ? length : std::min(length, a.window), kv);
    };
    all = Bytes(sum({all.count(), product({block.layers, std::visit(of, block.mixer).count()})}));
  }
  return all;
}

Graph build_prefill(const ModelSpec& model, const PhaseShape& shape) {
  check(model);
  check_shape(model, shape);
  return PassBuilder(model, shape).build();
}

Graph build_decode(const ModelSpec& model, const PhaseShape& shape) {
  if (shape.tokens != 1) throw ConfigError(fmt::format("a decode step has 1 token per sequence, not {}", shape.tokens));
  if (shape.context == 0) throw ConfigError("a decode step needs a context of at least 1 token");
  return build_prefill(model, shape);
}

}  // namespace lightcone::models
