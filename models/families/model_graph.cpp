// SPDX-License-Identifier: Apache-2.0
#include "models/families/model_graph.h"

#include <fmt/core.h>

#include <algorithm>
#include <variant>

#include "models/families/layer_builder.h"
#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

bool has_mlp(const Block& block) { return !std::holds_alternative<NoMlp>(block.mlp); }

std::uint64_t norm_parameters(const ModelSpec& model) {
  return size_product({model.norm == NormKind::layer ? 2u : 1u, model.d_model});
}

// One norm before the mixer and one before the MLP; with post_norms, one behind each as well.
std::uint64_t norms(const Block& block) { return (has_mlp(block) ? 2u : 1u) * (block.post_norms ? 2u : 1u); }

ParameterParts layer_parameters(const ModelSpec& model, const Block& block) {
  const auto of = [&](const auto& kind) { return parameters(kind, model.d_model); };
  const ParameterParts mixer = std::visit(of, block.mixer);
  const ParameterParts mlp = std::visit(of, block.mlp);
  return {size_sum({mixer.matrices, mlp.matrices}),
          size_sum({mixer.vectors, mlp.vectors, size_product({norms(block), norm_parameters(model)})})};
}

std::uint64_t stored_layers(const Block& block) { return block.shared ? 1 : block.layers; }

// Matrices that the layers of a shared block have beyond one set of all.
std::uint64_t further_own_matrices(const ModelSpec& model, const Block& block) {
  const std::uint64_t own = std::visit([&](const auto& mlp) { return own_matrices(mlp, model.d_model); }, block.mlp);
  return size_product({block.layers - stored_layers(block), own});
}

// Over all layers.
ParameterParts layers_parameters(const ModelSpec& model) {
  ParameterParts all;
  for (const Block& block : model.blocks) {
    const ParameterParts one = layer_parameters(model, block);
    all.matrices = size_sum(
        {all.matrices, size_product({stored_layers(block), one.matrices}), further_own_matrices(model, block)});
    all.vectors = size_sum({all.vectors, size_product({stored_layers(block), one.vectors})});
  }
  return all;
}

// Embedding, its norm, learned positions, LM head, final norm.
std::uint64_t outer_parameters(const ModelSpec& model) {
  const std::uint64_t rows = size_sum({size_product({model.tied_embeddings ? 1u : 2u, model.vocabulary}),
                                       model.position == PositionKind::learned ? model.max_positions : 0});
  const std::uint64_t norms = size_product({model.embedding_norm ? 2u : 1u, norm_parameters(model)});
  return size_sum({size_product({rows, model.d_model}), norms});
}

// Sums what all layers keep of one sequence.
SequenceState all_state(const ModelSpec& model, std::uint64_t length, const PhaseShape& shape) {
  SequenceState all;
  const std::uint64_t ranks = model.share.context, own = (length + ranks - 1) / ranks;
  for (const Block& block : model.blocks) {
    const SequenceState one =
        std::visit([&](const auto& mixer) { return sequence_state(mixer, model.d_model, own, shape); }, block.mixer);
    const Bytes fed = std::visit([&](const auto& mlp) { return sequence_state(mlp, model.d_model, shape); }, block.mlp);
    const std::uint64_t kept = size_sum({one.recurrent.count(), fed.count()});
    all.kv = Bytes(size_sum({all.kv.count(), size_product({block.layers, one.kv.count()})}));
    all.recurrent = Bytes(size_sum({all.recurrent.count(), size_product({block.layers, kept})}));
  }
  return all;
}

// The norm before the first layer adds no residual; each further one stands at the end of the layer before.
Section embedding(const ModelSpec& model, const PhaseShape& shape) {
  Section s("embedding", 1);
  LayerBuilder b(model, shape, s);
  Index rows = b.add("embedding",
                     EmbeddingGather{.tokens = b.rows(),
                                     .vocabulary = model.vocabulary,
                                     .columns = model.d_model,
                                     .positions = model.position == PositionKind::learned,
                                     .format = b.stream()},
                     {});
  rows = b.summed("embedding_sum", rows);
  if (model.embedding_norm) rows = b.stream_norm("embedding_norm", false, {rows});
  b.stream_norm("input_norm", false, {rows});
  return s;
}

// A part of a layer between two norms of the stream: from the tokens of all ranks to the sum of what the ranks add.
template <class Kind>
Index between_norms(LayerBuilder& b, const char* name, const Kind& kind, const std::vector<Index>& inputs) {
  const std::string part = name;
  return b.summed(part + "_sum", build(b, kind, b.gathered(part + "_tokens", inputs)));
}
// Experts may send tokens to ranks of their own.
Index between_norms(LayerBuilder& b, const char*, const MoeMlp& moe, const std::vector<Index>& inputs) {
  return build(b, moe, inputs);
}

Section layer(const ModelSpec& model, const PhaseShape& shape, const Block& block) {
  Section s(block.name.empty() ? "layers" : block.name, block.layers);
  LayerBuilder b(model, shape, s);
  Index mixed = std::visit([&](const auto& mixer) { return between_norms(b, "mixer", mixer, {}); }, block.mixer);
  if (block.post_norms) mixed = b.stream_norm("mixer_post_norm", false, {mixed});
  if (!has_mlp(block)) {
    b.stream_norm("next_norm", true, {mixed});
    return s;
  }
  const Index normed = b.stream_norm("post_mixer_norm", true, {mixed});
  const auto add_mlp = [&](const auto& mlp) -> Index {
    if constexpr (std::is_same_v<std::decay_t<decltype(mlp)>, NoMlp>) {
      return normed;
    } else {
      return between_norms(b, "mlp", mlp, {normed});
    }
  };
  Index fed = std::visit(add_mlp, block.mlp);
  if (block.post_norms) fed = b.stream_norm("mlp_post_norm", false, {fed});
  b.stream_norm("next_norm", true, {fed, normed});  // of the next layer, or the final one
  return s;
}

// The tokens that the head sees, where the ranks keep parts of the stream: the last ones of the prompts lie on one
// rank.
std::vector<Index> head_input(const ModelSpec& model, const PhaseShape& shape, std::uint64_t rows, Section& s,
                              NumberFormat format) {
  if (!model.share.sequence_parallel) return {};
  const CollectiveKind kind =
      shape.training || shape.tokens == 1 ? CollectiveKind::all_gather : CollectiveKind::broadcast;
  return {s.add("head_tokens", Communication{kind, ParallelAxis::tensor, model.share.tensor,
                                             size_product({rows, model.d_model}), format})};
}

// The loss of logits whose vocabulary is divided: the ranks agree on the maximum, the sum of the exponentials and the
// label's logit of every token (Shoeybi et al. 2019, section 3).
std::vector<Index> loss_statistics(const ModelSpec& model, std::uint64_t rows, Section& s, Index logits) {
  if (model.share.tensor == 1) return {logits};
  std::vector<Index> out{logits};
  for (const char* name : {"loss_maximum", "loss_label", "loss_sum"}) {
    out = {s.add(
        name,
        Communication{CollectiveKind::all_reduce, ParallelAxis::tensor, model.share.tensor, rows, NumberFormat::fp32},
        out)};
  }
  return {logits, out.front()};
}

Section head(const ModelSpec& model, const PhaseShape& shape) {
  Section s("head", 1);
  const LayerBuilder b(model, shape, s);
  const std::uint64_t rows = shape.training ? b.rows() : shape.batch, ranks = model.share.tensor;
  const auto among_ranks = [&](CollectiveKind kind, std::uint64_t columns) {
    return Communication{kind, ParallelAxis::tensor, ranks, size_product({rows, columns}), b.stream()};
  };
  std::optional<Communication> gradient;
  if (shape.training && ranks > 1 && !model.share.sequence_parallel)
    gradient = among_ranks(CollectiveKind::all_reduce, model.d_model);
  const Index logits = s.add("lm_head",
                             Gemm{.m = rows,
                                  .n = model.vocabulary,
                                  .k = model.d_model,
                                  .activation = b.stream(),
                                  .weight = b.stream(),
                                  .output = b.stream()},
                             head_input(model, shape, rows, s, b.stream()), gradient);
  if (shape.training) {
    s.add("loss", CrossEntropy{rows, model.vocabulary, b.stream()}, loss_statistics(model, rows, s, logits));
  } else if (ranks > 1) {
    s.add("logits", among_ranks(CollectiveKind::all_gather, size_product({ranks, model.vocabulary})), {logits});
  }
  return s;
}

void check_shape(const ModelSpec& model, const PhaseShape& shape) {
  if (shape.batch == 0) throw ConfigError("batch must be at least 1");
  if (shape.tokens == 0) throw ConfigError("tokens must be at least 1");
  const std::uint64_t length = checked_sum("the sequence", {shape.context, shape.tokens});
  const Share& share = model.share;
  const std::uint64_t parts = share.context > 1 && !share.context_by_heads ? 2 * share.context : share.context;
  if (shape.tokens % parts != 0 || (share.context > 1 && shape.context != 0))
    throw ConfigError(fmt::format("{} context ranks divide whole prompts into {} parts, not {} tokens behind {}",
                                  share.context, parts, shape.tokens, shape.context));
  if (model.position == PositionKind::learned && length > model.max_positions) {
    throw ConfigError(fmt::format("sequences of {} tokens do not fit {}: it has {} learned positions", length,
                                  model.name, model.max_positions));
  }
}

}  // namespace

std::uint64_t parameter_count(const ModelSpec& model) {
  check(model);
  const ParameterParts layers = layers_parameters(model);
  return size_sum({layers.matrices, layers.vectors, outer_parameters(model)});
}

std::uint64_t active_parameter_count(const ModelSpec& model) {
  std::uint64_t idle = 0;
  for (const Block& block : model.blocks) {
    const auto unused = [&](const auto& mlp) {
      return parameters(mlp, model.d_model).matrices - active_matrices(mlp, model.d_model);
    };
    idle = size_sum({idle, size_product({stored_layers(block), std::visit(unused, block.mlp)})});
  }
  return parameter_count(model) - idle;
}

Bytes weight_bytes(const ModelSpec& model, NumberFormat weights, NumberFormat activations) {
  check(model);
  const ParameterParts layers = layers_parameters(model);
  const Bytes matrices = tensor_bytes("the weights", weights, {layers.matrices});
  const std::uint64_t others = size_sum({layers.vectors, outer_parameters(model)});
  const Bytes rest = tensor_bytes("the weights", stream_format(activations), {others});
  return Bytes(size_sum({matrices.count(), rest.count()}));
}

Bytes kv_bytes_per_token(const ModelSpec& model, NumberFormat kv) { return kv_bytes(model, 1, kv); }

Bytes kv_bytes(const ModelSpec& model, std::uint64_t length, NumberFormat kv) {
  check(model);
  PhaseShape shape;
  shape.kv = kv;
  return all_state(model, length, shape).kv;
}

Bytes state_bytes(const ModelSpec& model, NumberFormat state, NumberFormat activations) {
  check(model);
  PhaseShape shape;
  shape.state = state;
  shape.activations = activations;
  return all_state(model, 1, shape).recurrent;
}

Graph build_prefill(const ModelSpec& model, const PhaseShape& shape) {
  check(model);
  check_shape(model, shape);
  Graph graph;
  graph.sections.push_back(embedding(model, shape));
  for (const Block& block : model.blocks) graph.sections.push_back(layer(model, shape, block));
  graph.sections.push_back(head(model, shape));
  total_cost(graph);  // every size is known to be sound from here on
  return graph;
}

bool decodes(const ModelSpec& model) {
  return std::none_of(model.blocks.begin(), model.blocks.end(), [](const Block& block) {
    const auto* attention = std::get_if<AttentionMixer>(&block.mixer);
    return attention != nullptr && attention->bidirectional;
  });
}

Graph build_decode(const ModelSpec& model, const PhaseShape& shape) {
  if (shape.tokens != 1) throw ConfigError(fmt::format("a decode step has 1 token per sequence, not {}", shape.tokens));
  if (shape.context == 0) throw ConfigError("a decode step needs a context of at least 1 token");
  return build_prefill(model, shape);
}

}  // namespace lightcone::models
