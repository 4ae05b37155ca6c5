// SPDX-License-Identifier: Apache-2.0
// Softmax attention by definition: its masks, its counts, its gradients.
#include "models/reference/attention.h"

#include <tuple>

#include "catch.h"
#include "models/graph/operator.h"
#include "models/reference/counted.h"
#include "models/reference/finite_differences.h"

using namespace lightcone::models::reference;
using lightcone::models::attended_pairs;

namespace {

std::uint64_t count(Index value) { return static_cast<std::uint64_t>(value); }

}  // namespace

TEST_CASE("masks of one query row are those of their definitions") {
  const auto row = [](const Mask& mask, Index i) {
    std::string text;
    for (Index j = 0; j < mask.cols(); ++j) text += mask(i, j) ? '#' : '.';
    return text;
  };
  CHECK(row(causal_mask(12, 12), 5) == "######......");
  CHECK(row(causal_mask(2, 12), 0) == "###########.");
  CHECK(row(window_mask(12, 12, 3), 5) == "...###......");
  CHECK(row(window_mask(12, 12, 1), 5) == ".....#......");
  CHECK(row(sink_window_mask(12, 12, 2, 3), 8) == "##....###...");
  CHECK(row(strided_mask(12, 4), 9) == ".#...#...#..");
  CHECK(row(fixed_mask(12, 4, 1), 9) == "...#...###..");
  CHECK(row(longformer_mask(12, 2, 1, {0}), 6) == "#...#####...");
  CHECK(row(longformer_mask(12, 2, 2, {}), 6) == "..#.#.#.#.#.");
  CHECK(row(longformer_mask(12, 1, 1, {6}), 6) == "############");
  CHECK(row(mask_of({{0}, {0, 1}, {2}}, 12, 12, 4, 4, true), 6) == "#######.....");
}

TEST_CASE("causal and window masks have the pairs of the operator's formula") {
  for (const auto& [q, k, window] : std::vector<std::tuple<Index, Index, Index>>{{1, 1, 0},
                                                                                 {1, 9, 0},
                                                                                 {9, 9, 0},
                                                                                 {5, 9, 0},
                                                                                 {9, 5, 0},
                                                                                 {9, 9, 1},
                                                                                 {9, 9, 4},
                                                                                 {5, 9, 4},
                                                                                 {9, 9, 40},
                                                                                 {9, 5, 2}}) {
    CAPTURE(q, k, window);
    const Mask mask = window == 0 ? causal_mask(q, k) : window_mask(q, k, window);
    CHECK(pairs(mask) == attended_pairs(count(q), count(k), true, count(window)));
  }
}

TEST_CASE("pairs of the sparse patterns are the closed forms") {
  const std::uint64_t t = 96, w = 12;
  CHECK(pairs(window_mask(96, 96, 12)) == t * w - w * (w - 1) / 2);
  // Sparse Transformer: a strided row i has i / l + 1 keys; the sum over rows is that of T / l blocks of l rows.
  CHECK(pairs(strided_mask(96, 12)) == w * (t / w) * (t / w + 1) / 2);
  // "Fixed": causal in the own block, and c keys of every earlier block.
  CHECK(pairs(fixed_mask(96, 12, 3)) == t / w * (w * (w + 1) / 2) + 3 * w * (t / w) * (t / w - 1) / 2);
  // StreamingLLM: the last rows have sinks + recent keys.
  CHECK(sink_window_mask(96, 96, 4, 12).row(95).count() == 4 + 12);
  // Longformer: T (2w + 1) without the ends, plus full row and column of a global token outside its own window.
  CHECK(pairs(longformer_mask(96, 12, 1, {})) == t * (2 * w + 1) - w * (w + 1));
  CHECK(pairs(longformer_mask(96, 12, 1, {0})) == t * (2 * w + 1) - w * (w + 1) + 2 * (t - w - 1));
}

TEST_CASE("BigBird blocks: global rows and columns, neighbours and distinct random blocks") {
  const BlockList blocks = bigbird_blocks(12, 3, 5);
  CHECK(blocks.front().size() == 12);
  CHECK(blocks.back().size() == 12);
  for (std::size_t i = 2; i < 10; ++i) {
    CHECK(blocks[i].size() == 5 + 3);
    for (const Index seen : {Index(0), Index(11), Index(i) - 1, Index(i), Index(i) + 1}) {
      CHECK(std::binary_search(blocks[i].begin(), blocks[i].end(), seen));
    }
  }
  CHECK(blocks == bigbird_blocks(12, 3, 5));
  CHECK(blocks != bigbird_blocks(12, 3, 6));
  CHECK(bigbird_blocks(4, 3, 1)[1].size() == 4);  // no more blocks than there are
}

TEST_CASE("attention counts what the operator's cost says") {
  // matrix 4 pairs d (QK^T and PV, 1 FMA = 2); vector 4 per pair (scale, maximum, subtraction, sum), of which the
  // maximum is a comparison that Counted takes as free, and one multiplication per output; special: one exp per pair
  // and one reciprocal per row. The log-sum-exp (one log and one addition per row) is kept for the backward pass only.
  for (const auto& [q_len, kv_len, d, window] : std::vector<std::tuple<Index, Index, Index, Index>>{
           {1, 1, 4, 0}, {1, 17, 8, 0}, {13, 13, 8, 5}, {6, 13, 3, 0}}) {
    CAPTURE(q_len, kv_len, d, window);
    SeededValues values(1);
    const Matrix<Counted> q = values.matrix(q_len, d).cast<Counted>(), k = values.matrix(kv_len, d).cast<Counted>(),
                          v = values.matrix(kv_len, d).cast<Counted>();
    const Mask mask = window == 0 ? causal_mask(q_len, kv_len) : window_mask(q_len, kv_len, window);
    Counted::reset();
    (void)attention(q, k, v, mask);
    const Counts counts = Counted::counts();
    const lightcone::models::Cost cost = lightcone::models::cost(lightcone::models::Attention{.batch = 1,
                                                                                              .heads = 1,
                                                                                              .kv_heads = 1,
                                                                                              .q_len = count(q_len),
                                                                                              .kv_len = count(kv_len),
                                                                                              .head_dim = count(d),
                                                                                              .window = count(window)});
    const std::uint64_t rows = count(q_len), comparisons = pairs(mask), log_sum_exp = rows;
    CHECK(counts.adds + counts.multiplies - log_sum_exp + comparisons == cost.flops().count());
    CHECK(cost.matrix_flops.count() == 4 * pairs(mask) * count(d));
    CHECK(counts.specials - log_sum_exp + counts.divides == cost.special);
  }
}

TEST_CASE("a sink takes probability and gives no value; the soft cap bounds the scores") {
  SeededValues values(2);
  const Matrix<double> q = values.matrix(5, 8), k = values.matrix(5, 8), v = values.matrix(5, 8);
  const Mask mask = causal_mask(5, 5);
  const Attended<double> plain = attention(q, k, v, mask), sunk = attention(q, k, v, mask, {.sink = 0.7});
  for (Index i = 0; i < 5; ++i) {
    const double kept = 1 / (1 + std::exp(0.7 - plain.lse(i)));
    CHECK(rms_ratio(sunk.output.row(i), (kept * plain.output.row(i)).eval()) < 1e-14);
  }
  // As an additional key whose value is zero and whose score is the sink.
  Matrix<double> scores(5, 6), values_and_zero(6, 8);
  scores << attention_scores(q, k, mask), Vector<double>::Constant(5, 0.7);
  values_and_zero << v, Matrix<double>::Zero(1, 8);
  CHECK(rms_ratio(sunk.output, attend(scores, values_and_zero).output) < 1e-14);

  const Matrix<double> capped = attention_scores<double>(100 * q, k, full_mask(5, 5), {.soft_cap = 3});
  const Matrix<double> uncapped = attention_scores<double>(100 * q, k, full_mask(5, 5));
  CHECK(capped.cwiseAbs().maxCoeff() <= 3);
  CHECK(uncapped.cwiseAbs().maxCoeff() > 30);
  CHECK(rms_ratio(capped, (3 * (uncapped.array() / 3).tanh()).matrix().eval()) < 1e-14);
}

TEST_CASE("a query without keys gives zero and -infinity") {
  SeededValues values(3);
  const Matrix<double> q = values.matrix(3, 4), k = values.matrix(2, 4), v = values.matrix(2, 4);
  const Attended<double> a = attention(q, k, v, causal_mask(3, 2));  // query 0 stands before every key
  CHECK(a.output.row(0).isZero(0));
  CHECK(a.lse(0) == kMinusInfinity);
  CHECK(a.output.row(1) == v.row(0));
}

TEST_CASE("grouped heads are full heads with repeated keys and values") {
  SeededValues values(4);
  const Matrix<double> q = values.matrix(7, 6 * 4), k = values.matrix(7, 2 * 4), v = values.matrix(7, 2 * 3);
  Matrix<double> all_k(7, 6 * 4), all_v(7, 6 * 3);
  for (Index n = 0; n < 6; ++n) {
    all_k.middleCols(n * 4, 4) = k.middleCols(n / 3 * 4, 4);
    all_v.middleCols(n * 3, 3) = v.middleCols(n / 3 * 3, 3);
  }
  const auto one = [](const auto& a, const auto& b, const auto& c) { return attention(a, b, c, causal_mask(7, 7)); };
  CHECK(per_head(q, k, v, 6, 2, one) == per_head(q, all_k, all_v, 6, 6, one));
}

TEST_CASE("gradients of attention are its finite differences") {
  for (const AttentionOptions& options :
       {AttentionOptions{}, AttentionOptions{.soft_cap = 2}, AttentionOptions{.scale = 0.3, .sink = -0.4}}) {
    SeededValues values(5);
    Matrix<double> q = values.matrix(6, 4), k = values.matrix(6, 4), v = values.matrix(6, 3);
    const Matrix<double> weight = values.matrix(6, 3);
    const Mask mask = window_mask(6, 6, 4);
    Vector<double> sink = Vector<double>::Constant(1, options.sink.value_or(0));
    const auto loss = [&] {
      AttentionOptions at = options;
      if (at.sink) at.sink = sink(0);
      return (attention(q, k, v, mask, at).output.array() * weight.array()).sum();
    };
    const AttentionGradients g = attention_backward(q, k, v, mask, weight, options);
    CHECK(rms_ratio(g.q, finite_differences(q, loss)) < 1e-9);
    CHECK(rms_ratio(g.k, finite_differences(k, loss)) < 1e-9);
    CHECK(rms_ratio(g.v, finite_differences(v, loss)) < 1e-9);
    if (options.sink) CHECK(g.sink == Approx(finite_differences(sink, loss)(0)).epsilon(1e-9));
  }
}
