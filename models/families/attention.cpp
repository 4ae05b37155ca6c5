// SPDX-License-Identifier: Apache-2.0
// Softmax attention with full, grouped or single KV heads (Vaswani et al. 2017, Shazeer 2019, Ainslie et al. 2023),
// sliding window and sinks. One GEMM gives Q, K and V, and the output's gate.
#include <fmt/core.h>

#include <algorithm>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

std::uint64_t query_width(const AttentionMixer& a) { return size_product({a.heads, a.head_dim}); }
std::uint64_t output_width(const AttentionMixer& a) { return size_product({a.heads, a.v_dim()}); }
std::uint64_t qkv_width(const AttentionMixer& a) {
  return size_sum({size_product({a.output_gate ? 2u : 1u, query_width(a)}),
                   size_product({a.kv_heads, size_sum({a.head_dim, a.v_dim()})})});
}
std::uint64_t input_width(const AttentionMixer& a, std::uint64_t d) {
  return size_product({a.with_embeddings ? 2u : 1u, d});
}
std::uint64_t rotary_dim(const AttentionMixer& a, const ModelSpec& model) {
  return model.position == PositionKind::rotary ? a.rotary_dim.value_or(a.head_dim) : 0;
}

}  // namespace

ParameterParts parameters(const AttentionMixer& a, std::uint64_t d) {
  const std::uint64_t biases = size_sum({a.qkv_bias ? qkv_width(a) : 0, a.output_bias ? d : 0});
  return {size_sum({size_product({input_width(a, d), qkv_width(a)}), size_product({output_width(a), d})}),
          size_sum({biases, a.with_embeddings ? d : 0, a.qk_norm ? 2 * a.head_dim : 0, a.sinks ? a.heads : 0})};
}

SequenceState sequence_state(const AttentionMixer& a, std::uint64_t, std::uint64_t length, const PhaseShape& shape) {
  const Bytes token = tensor_bytes("the KV cache", shape.kv, {a.kv_heads, size_sum({a.head_dim, a.v_dim()})});
  return {Bytes(size_product({token.count(), a.window == 0 ? length : std::min(length, a.window)})), {}};
}

Section::Index build(LayerBuilder& b, const AttentionMixer& a, const std::vector<Section::Index>& inputs) {
  const PhaseShape& shape = b.shape();
  std::vector<Section::Index> read = inputs;
  if (a.with_embeddings) {
    const Section::Index normed = b.norm("embedding_half_norm", b.model().norm, 1, b.d_model(), inputs);
    read = {b.elementwise("beside_embedding", ElementwiseKind::copy, input_width(a, b.d_model()), {normed})};
  }
  const Section::Index qkv = b.linear("qkv", input_width(a, b.d_model()), qkv_width(a), a.qkv_bias, read);
  std::vector<Section::Index> heads{qkv};
  if (a.qk_norm) {
    heads = {b.norm("q_norm", NormKind::rms, a.heads, a.head_dim, {qkv}),
             b.norm("k_norm", NormKind::rms, a.kv_heads, a.head_dim, {qkv})};
  }
  const std::uint64_t turned = rotary_dim(a, b.model());
  if (turned != 0 || !shape.training) {
    heads = {b.add(turned == 0 ? "kv_write" : "rotary",
                   Rotary{b.rows(), a.heads, a.kv_heads, a.head_dim, turned, true, b.stream(), shape.kv}, heads)};
  }
  Section::Index result = b.add("attention",
                                Attention{.batch = shape.batch,
                                          .heads = a.heads,
                                          .kv_heads = a.kv_heads,
                                          .q_len = shape.tokens,
                                          .kv_len = size_sum({shape.context, shape.tokens}),
                                          .head_dim = a.head_dim,
                                          .causal = true,
                                          .window = a.window,
                                          .activation = b.stream(),
                                          .kv = shape.kv,
                                          .paged = b.continues(),
                                          .value_dim = a.value_dim},
                                heads);
  if (a.output_gate) {
    result = b.elementwise("output_gate", ElementwiseKind::sigmoid_mul, output_width(a), {qkv, result});
  }
  return b.linear("output", output_width(a), b.d_model(), a.output_bias, {result});
}

void check_kind(const AttentionMixer& a, const FaultList& block, const ModelSpec& model) {
  const FaultList list = block.inside("attention");
  list.require("heads", a.heads);
  list.require("kv_heads", a.kv_heads);
  list.require("head_dim", a.head_dim);
  if (a.heads != 0 && a.kv_heads != 0 && a.heads % a.kv_heads != 0)
    list.add("kv_heads",
             fmt::format("{} does not divide heads {}: each KV head serves as many heads", a.kv_heads, a.heads));
  if (model.position != PositionKind::rotary) {
    if (a.rotary_dim) list.add("rotary_dim", "is given, but the model's position is not ROTARY");
    return;
  }
  const std::uint64_t turned = a.rotary_dim.value_or(a.head_dim);
  const char* field = a.rotary_dim ? "rotary_dim" : "head_dim";
  if (turned % 2 != 0) list.add(field, fmt::format("{} is odd: rotary positions turn pairs of values", turned));
  if (turned > a.head_dim) list.add(field, fmt::format("{} is above head_dim {}", turned, a.head_dim));
}

std::string words(const AttentionMixer& a) {
  std::string out = fmt::format("attention, {} heads of {}, {} KV heads", a.heads, a.head_dim, a.kv_heads);
  if (a.value_dim != 0) out += fmt::format(", values of {}", a.value_dim);
  if (a.window != 0) out += fmt::format(", window {}", a.window);
  if (a.sinks) out += ", sinks";
  if (a.with_embeddings) out += ", of stream and embeddings";
  if (a.output_gate) out += ", gated output";
  return out;
}

}  // namespace lightcone::models
