// SPDX-License-Identifier: Apache-2.0
// Multi-head latent attention (DeepSeek-V2, 2024, section 2.1). A pass over several tokens expands K and V of all heads
// and attends as usual; a single token folds the expansion into Q and into the output ("absorbed"), so that all heads
// attend to the latent vectors themselves.
#include <fmt/core.h>

#include <algorithm>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

std::uint64_t key_dim(const MlaMixer& a) { return size_sum({a.nope_dim, a.rope_dim}); }
std::uint64_t query_width(const MlaMixer& a) { return size_product({a.heads, key_dim(a)}); }
std::uint64_t latent_width(const MlaMixer& a) { return size_sum({a.kv_rank, a.rope_dim}); }
std::uint64_t expanded_width(const MlaMixer& a) { return size_product({a.heads, size_sum({a.nope_dim, a.value_dim})}); }

// Q, the latents, their norms, positions and the append to the cache.
struct Projected {
  Section::Index query, latent;
  Section::Index query_latent;  // what Q is projected from
};
Projected project(LayerBuilder& b, const MlaMixer& a, const std::vector<Section::Index>& inputs) {
  // Both projections down are one GEMM, as serving engines fuse them.
  const std::uint64_t from_stream = size_sum({a.query_rank == 0 ? query_width(a) : a.query_rank, latent_width(a)});
  const Section::Index down = a.query_rank == 0 ? b.linear("q_kv_a", b.d_model(), from_stream, false, inputs)
                                                : b.whole_linear("q_a_kv_a", b.d_model(), from_stream, false, inputs);
  const Section::Index latent = b.norm("kv_a_norm", NormKind::rms, 1, a.kv_rank, {down});
  Section::Index query = down, query_latent = down;
  if (a.query_rank != 0) {
    query_latent = b.norm("q_a_norm", NormKind::rms, 1, a.query_rank, {down});
    query = b.linear("q_b", a.query_rank, query_width(a), false, {query_latent});
  }
  if (a.rope_dim != 0 && b.model().position == PositionKind::rotary) {
    query = b.add("rotary", Rotary{b.rows(), a.heads, 1, a.rope_dim, a.rope_dim, false, b.stream(), b.shape().kv},
                  {query, down});
  }
  if (b.shape().training) return {query, latent, query_latent};
  const std::uint64_t written = size_product({b.rows(), latent_width(a)});
  const Section::Index stored =
      b.add("kv_write", Elementwise{ElementwiseKind::copy, written, b.stream(), b.shape().kv, latent_width(a)},
            {latent, query});
  return {query, stored, query_latent};
}

Section::Index expanded(LayerBuilder& b, const MlaMixer& a, const Projected& from) {
  const PhaseShape& shape = b.shape();
  const std::uint64_t length = size_sum({shape.context, shape.tokens});
  const Section::Index kv = b.add("kv_b",
                                  Gemm{.m = size_product({shape.batch, length}),
                                       .n = expanded_width(a),
                                       .k = a.kv_rank,
                                       .activation = b.stream(),
                                       .weight = b.stream(),
                                       .output = b.stream()},
                                  {from.latent});
  return b.add("attention",
               Attention{.batch = shape.batch,
                         .heads = a.heads,
                         .kv_heads = a.heads,
                         .q_len = shape.tokens,
                         .kv_len = length,
                         .head_dim = key_dim(a),
                         .activation = b.stream(),
                         .kv = b.stream(),
                         .value_dim = a.value_dim},
               {from.query, kv});
}

// `window`: tokens that each token attends to, 0: all before it.
Section::Index absorbed(LayerBuilder& b, const MlaMixer& a, const Projected& from, std::uint64_t window) {
  const PhaseShape& shape = b.shape();
  const auto per_head = [&](std::uint64_t k, std::uint64_t n) {
    return BatchedGemm{.batch = a.heads,
                       .m = b.rows(),
                       .n = n,
                       .k = k,
                       .activation = b.stream(),
                       .weight = b.stream(),
                       .output = b.stream(),
                       .weights_are_static = true};
  };
  const Section::Index query = b.add("q_to_latent", per_head(a.nope_dim, a.kv_rank), {from.query});
  const Section::Index attended = b.add("attention",
                                        Attention{.batch = shape.batch,
                                                  .heads = a.heads,
                                                  .kv_heads = 1,
                                                  .q_len = shape.tokens,
                                                  .kv_len = size_sum({shape.context, shape.tokens}),
                                                  .head_dim = latent_width(a),
                                                  .window = window,
                                                  .activation = b.stream(),
                                                  .kv = shape.kv,
                                                  .paged = true,
                                                  .value_dim = a.kv_rank,
                                                  .values_in_keys = true},
                                        {query, from.latent});
  return b.add("values_from_latent", per_head(a.kv_rank, a.value_dim), {attended});
}

// DeepSeek-V3.2's indexer, in bf16: light heads of Q against one key per token, ReLU, and a sum over the heads weighted
// by the token; then the best index_top_k. The fused kernel that scores stands as attention whose value is one number
// wide (as many products; its exponentials are none in truth). It runs for short contexts too, whose keys later tokens
// need. Choosing has the pairs and bytes of a window as long.
Section::Index indexed(LayerBuilder& b, const MlaMixer& a, const Projected& from,
                       const std::vector<Section::Index>& inputs) {
  const PhaseShape& shape = b.shape();
  const std::uint64_t length = size_sum({shape.context, shape.tokens});
  const Section::Index query = b.whole_linear("index_q", a.query_rank == 0 ? b.d_model() : a.query_rank,
                                              size_product({a.index_heads, a.index_dim}), false, {from.query_latent});
  const Section::Index key =
      b.whole_linear("index_k_weights", b.d_model(), size_sum({a.index_dim, a.index_heads}), false, inputs);
  const Section::Index normed = b.norm("index_k_norm", NormKind::layer, 1, a.index_dim, {key});
  Section::Index stored = normed;
  if (!shape.training) {
    stored = b.add(
        "index_k_write",
        Elementwise{ElementwiseKind::copy, size_product({b.rows(), a.index_dim}), b.stream(), shape.kv, a.index_dim},
        {normed});
  }
  const Section::Index scores = b.add("index_scores",
                                      Attention{.batch = shape.batch,
                                                .heads = a.index_heads,
                                                .kv_heads = 1,
                                                .q_len = shape.tokens,
                                                .kv_len = length,
                                                .head_dim = a.index_dim,
                                                .activation = b.stream(),
                                                .kv = shape.kv,
                                                .paged = b.continues(),
                                                .value_dim = 1,
                                                .values_in_keys = true},
                                      {query, stored});
  const Section::Index chosen = b.add("index_top_k", TopK{b.rows(), length, std::min(a.index_top_k, length)}, {scores});
  return absorbed(b, a, {from.query, chosen, from.query_latent}, a.index_top_k);
}

std::uint64_t index_matrices(const MlaMixer& a, std::uint64_t d) {
  const std::uint64_t from = a.query_rank == 0 ? d : a.query_rank;
  return size_sum(
      {size_product({from, a.index_heads, a.index_dim}), size_product({d, size_sum({a.index_dim, a.index_heads})})});
}

}  // namespace

ParameterParts parameters(const MlaMixer& a, std::uint64_t d) {
  const std::uint64_t query = a.query_rank == 0 ? size_product({d, query_width(a)})
                                                : size_product({a.query_rank, size_sum({d, query_width(a)})});
  const std::uint64_t latent =
      size_sum({size_product({d, latent_width(a)}), size_product({a.kv_rank, expanded_width(a)})});
  const std::uint64_t outputs = size_product({a.output_gate ? 2u : 1u, a.heads, a.value_dim, d});
  const std::uint64_t index_norm = size_product({2, a.index_dim});
  return {size_sum({query, latent, outputs, index_matrices(a, d)}), size_sum({a.query_rank, a.kv_rank, index_norm})};
}

SequenceState sequence_state(const MlaMixer& a, std::uint64_t, std::uint64_t length, const PhaseShape& shape) {
  return {Bytes(size_product(
              {tensor_bytes("the KV cache", shape.kv, {size_sum({latent_width(a), a.index_dim})}).count(), length})),
          {}};
}

Section::Index build(LayerBuilder& b, const MlaMixer& a, const std::vector<Section::Index>& inputs) {
  const Projected projected = project(b, a, inputs);
  const bool absorb = b.shape().tokens == 1 && b.continues();
  Section::Index attended = a.index_heads != 0 ? indexed(b, a, projected, inputs)
                            : absorb           ? absorbed(b, a, projected, 0)
                                               : expanded(b, a, projected);
  if (a.output_gate) {
    const std::uint64_t width = size_product({a.heads, a.value_dim});
    const Section::Index gate = b.linear("output_gate_proj", b.d_model(), width, false, inputs);
    attended = b.elementwise("output_gate", ElementwiseKind::sigmoid_mul, width, {gate, attended});
  }
  return b.row_linear("output", size_product({a.heads, a.value_dim}), b.d_model(), false, {attended});
}

void check_kind(const MlaMixer& a, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("mla");
  list.require("heads", a.heads);
  list.require("kv_rank", a.kv_rank);
  list.require("nope_dim", a.nope_dim);
  list.require("value_dim", a.value_dim);
  if (a.rope_dim % 2 != 0)
    list.add("rope_dim", fmt::format("{} is odd: rotary positions turn pairs of values", a.rope_dim));
}

std::string words(const MlaMixer& a) {
  std::string out =
      fmt::format("latent attention, {} heads of {}+{}, latents of {}", a.heads, a.nope_dim, a.rope_dim, a.kv_rank);
  if (a.index_heads != 0) out += fmt::format(", the best {} tokens by {} index heads", a.index_top_k, a.index_heads);
  return out;
}

}  // namespace lightcone::models
