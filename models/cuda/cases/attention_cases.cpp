// SPDX-License-Identifier: Apache-2.0
// Softmax attention: q [batch, q_len, heads, d], k and v [batch, kv_len, kv_heads, d] in bf16, o as q.
#include <functional>

#include "models/cuda/cases/case_lists.h"
#include "models/reference/attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::cuda {

namespace {

using reference::Index;
using reference::Mask;

constexpr std::int64_t kTile = 64;   // of queries and of keys in block-sparse attention
constexpr double kAttention = 6e-3;  // probabilities and outputs are rounded to bf16

Problem dense_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t rows = s.at("batch") * s.at("head_dim");
  const std::int64_t q = rows * s.at("q_len") * s.at("heads"), kv = rows * s.at("kv_len") * s.at("kv_heads");
  return {{{"q", Element::bf16, q}, {"k", Element::bf16, kv}, {"v", Element::bf16, kv}},
          {{"o", Element::bf16, q, kAttention}}};
}

// One head after the other; mask(batch, kv head) gives [q_len, kv_len].
std::vector<Values> masked_truth(const Sizes& s, const std::vector<Values>& in,
                                 const std::function<Mask(std::int64_t, std::int64_t)>& mask) {
  const std::int64_t heads = s.at("heads"), kv_heads = s.at("kv_heads"), d = s.at("head_dim"), q_len = s.at("q_len"),
                     kv_len = s.at("kv_len");
  Values o(in[0].size());
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      const std::int64_t kv = h / (heads / kv_heads);
      const std::int64_t at_q = (b * q_len * heads + h) * d, at_kv = (b * kv_len * kv_heads + kv) * d;
      const auto attended = reference::attention(matrix_at(in[0], at_q, q_len, d, heads * d),
                                                 matrix_at(in[1], at_kv, kv_len, d, kv_heads * d),
                                                 matrix_at(in[2], at_kv, kv_len, d, kv_heads * d), mask(b, kv));
      put_matrix(o, at_q, heads * d, attended.output);
    }
  }
  return {o};
}

Mask dense_mask(const Sizes& s) {
  if (size_of(s, "window") != 0) return reference::window_mask(s.at("q_len"), s.at("kv_len"), s.at("window"));
  if (size_of(s, "causal") != 0) return reference::causal_mask(s.at("q_len"), s.at("kv_len"));
  return reference::full_mask(s.at("q_len"), s.at("kv_len"));
}
std::vector<Values> dense_truth(const Sizes& s, const std::vector<Values>& in) {
  return masked_truth(s, in, [&](std::int64_t, std::int64_t) { return dense_mask(s); });
}

// Each tile of queries visits its own tile, the first one, and every `every`-th before it.
reference::BlockList visited(const Sizes& s) {
  const std::int64_t tiles = (s.at("q_len") + kTile - 1) / kTile, before = (s.at("kv_len") - s.at("q_len")) / kTile;
  reference::BlockList blocks;
  for (std::int64_t i = 0; i < tiles; ++i) {
    std::vector<Index> list;
    for (std::int64_t j = 0; j <= before + i; ++j) {
      if (j == 0 || j == before + i || (before + i - j) % s.at("every") == 0) list.push_back(j);
    }
    blocks.push_back(list);
  }
  return blocks;
}
Problem sparse_problem(const Sizes& s, std::uint64_t seed) {
  Problem problem = dense_problem(s, seed);
  InputSpec offsets{"tile offsets", Element::int32, 0, Fill::given}, tiles{"tiles", Element::int32, 0, Fill::given};
  offsets.values.push_back(0);
  for (const auto& list : visited(s)) {
    for (const Index j : list) tiles.values.push_back(double(j));
    offsets.values.push_back(double(tiles.values.size()));
  }
  offsets.count = std::int64_t(offsets.values.size());
  tiles.count = std::int64_t(tiles.values.size());
  problem.inputs.push_back(offsets);
  problem.inputs.push_back(tiles);
  return problem;
}
std::vector<Values> sparse_truth(const Sizes& s, const std::vector<Values>& in) {
  const Mask mask = reference::mask_of(visited(s), s.at("q_len"), s.at("kv_len"), kTile, kTile, true);
  return masked_truth(s, in, [&](std::int64_t, std::int64_t) { return mask; });
}

// The keys of a query: the `selected` largest of a random score among those it may see, as an indexer selects; fewer
// for early queries, the rest -1.
Problem selected_problem(const Sizes& s, std::uint64_t seed) {
  Problem problem = dense_problem(s, seed);
  const std::int64_t k = s.at("selected"), q_len = s.at("q_len"), kv_len = s.at("kv_len");
  InputSpec list{"selected", Element::int32, s.at("batch") * q_len * s.at("kv_heads") * k, Fill::given};
  reference::SeededValues random(seed + 1);
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    for (std::int64_t t = 0; t < q_len; ++t) {
      for (std::int64_t h = 0; h < s.at("kv_heads"); ++h) {
        const DoubleVector scores = random.vector(kv_len - q_len + t + 1);
        const std::vector<Index> chosen = reference::sorted_top_k(scores, k);
        for (std::int64_t i = 0; i < k; ++i) {
          list.values.push_back(i < std::ssize(chosen) ? double(chosen[std::size_t(i)]) : -1.0);
        }
      }
    }
  }
  problem.inputs.push_back(list);
  return problem;
}
std::vector<Values> selected_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t k = s.at("selected"), q_len = s.at("q_len"), kv_heads = s.at("kv_heads");
  return masked_truth(s, in, [&](std::int64_t b, std::int64_t kv) {
    Mask mask = Mask::Constant(q_len, s.at("kv_len"), false);
    for (std::int64_t t = 0; t < q_len; ++t) {
      for (std::int64_t i = 0; i < k; ++i) {
        const double key = in[3][std::size_t(((b * q_len + t) * kv_heads + kv) * k + i)];
        if (key >= 0) mask(t, Index(key)) = true;
      }
    }
    return mask;
  });
}

Sizes heads_of(std::int64_t batch, std::int64_t q_len, std::int64_t kv_len, std::int64_t heads, std::int64_t kv_heads,
               std::int64_t d, Sizes more = {}) {
  more.insert({{"batch", batch},
               {"q_len", q_len},
               {"kv_len", kv_len},
               {"heads", heads},
               {"kv_heads", kv_heads},
               {"head_dim", d}});
  return more;
}

}  // namespace

std::vector<PrimitiveCases> attention_cases() {
  return {
      {"attention_standard",
       {heads_of(1, 20, 20, 2, 1, 64, {{"causal", 1}}), heads_of(1, 9, 24, 2, 2, 64, {{"causal", 1}, {"window", 7}})},
       {heads_of(2, 200, 200, 8, 2, 128, {{"causal", 1}}), heads_of(1, 96, 320, 4, 4, 64)},
       dense_problem,
       dense_truth},
      {"attention_flash",
       {heads_of(1, 1, 1, 1, 1, 64), heads_of(2, 70, 70, 2, 1, 64, {{"causal", 1}}), heads_of(1, 40, 133, 2, 2, 128),
        heads_of(1, 30, 200, 1, 1, 64, {{"causal", 1}, {"window", 50}})},
       {heads_of(2, 300, 300, 8, 2, 128, {{"causal", 1}}), heads_of(1, 257, 513, 4, 4, 64, {{"causal", 1}}),
        heads_of(1, 400, 400, 4, 1, 128, {{"causal", 1}, {"window", 129}}), heads_of(2, 130, 190, 6, 3, 64)},
       dense_problem,
       dense_truth},
      {"attention_block_sparse",
       {heads_of(1, 192, 192, 1, 1, 64, {{"causal", 1}, {"every", 2}})},
       {heads_of(1, 500, 500, 4, 2, 128, {{"causal", 1}, {"every", 3}}),
        heads_of(2, 384, 384, 2, 2, 64, {{"causal", 1}, {"every", 4}})},
       sparse_problem,
       sparse_truth},
      {"attention_selected",
       {heads_of(1, 6, 90, 4, 1, 64, {{"selected", 70}}), heads_of(1, 5, 5, 6, 2, 128, {{"selected", 3}})},
       {heads_of(1, 100, 400, 32, 2, 128, {{"selected", 64}}), heads_of(2, 64, 64, 8, 1, 64, {{"selected", 32}})},
       selected_problem,
       selected_truth},
      {"attention_decode",
       {heads_of(2, 1, 1, 4, 2, 64, {{"causal", 1}, {"splits", 1}}),
        heads_of(1, 1, 200, 8, 1, 64, {{"causal", 1}, {"splits", 3}}),
        heads_of(1, 1, 130, 6, 2, 128, {{"causal", 1}, {"splits", 4}})},  // more splits than tiles of keys
       {heads_of(3, 1, 1999, 32, 8, 128, {{"causal", 1}, {"splits", 7}}),
        heads_of(2, 1, 1000, 8, 8, 64, {{"causal", 1}, {"window", 100}, {"splits", 2}})},
       dense_problem,
       dense_truth},
  };
}

}  // namespace lightcone::models::cuda
