// SPDX-License-Identifier: Apache-2.0
// Learned selection (NSA, MoBA, DSA, Quest): gathering what was selected equals dense attention under the same mask.
#include "catch.h"
#include "models/reference/counted.h"
#include "models/reference/dsa.h"
#include "models/reference/moba.h"
#include "models/reference/nsa.h"
#include "models/reference/quest.h"

using namespace lightcone::models::reference;

namespace {

Matrix<float> f(const Matrix<double>& m) { return m.cast<float>(); }

NsaInputs<double> nsa_inputs(Index tokens, Index heads, const NsaShape& shape) {
  SeededValues values(1);
  NsaInputs<double> in{values.matrix(tokens, heads * 16), values.matrix(tokens, 16), values.matrix(tokens, 24),
                       values.matrix(tokens, heads * 3),  Vector<double>(),          heads};
  in.gates = (1 + (-in.gates.array()).exp()).inverse();
  in.compress_weight =
      values.vector(shape.compress_block).array() / 10 + 1.0 / static_cast<double>(shape.compress_block);
  return in;
}

NsaInputs<float> f(const NsaInputs<double>& in) {
  return {f(in.q), f(in.k), f(in.v), f(in.gates), in.compress_weight.cast<float>(), in.heads};
}

}  // namespace

TEST_CASE("top-k takes the largest, the lowest index first among equals") {
  Vector<double> x(6);
  x << 1, 3, 2, 3, -std::numeric_limits<double>::infinity(), 2;
  CHECK(top_k(x, 1) == std::vector<Index>{1});
  CHECK(top_k(x, 3) == std::vector<Index>{1, 3, 2});
  CHECK(top_k(x, 4) == std::vector<Index>{1, 3, 2, 5});
  CHECK(top_k(x, 6) == std::vector<Index>{1, 3, 2, 5, 0});
  CHECK(sorted_top_k(x, 3) == std::vector<Index>{1, 2, 3});
}

TEST_CASE("NSA by gathering equals its three masked branches") {
  const NsaShape shape{.compress_block = 8, .stride = 4, .select_block = 16, .selected = 4, .window = 20};
  for (const auto& [tokens, heads] : std::vector<std::pair<Index, Index>>{{1, 1}, {5, 2}, {150, 1}, {150, 4}}) {
    CAPTURE(tokens, heads);
    const NsaInputs<double> in = nsa_inputs(tokens, heads, shape);
    const NsaResult<double> expected = nsa_attention(in, shape), got = nsa_attention_by_gather(in, shape);
    CHECK(got.selected == expected.selected);
    CHECK(rms_ratio(got.output, expected.output) < 1e-12);
    const NsaResult<float> single = nsa_attention_by_gather(f(in), shape);
    CHECK(single.selected == expected.selected);
    CHECK(rms_ratio(single.output, expected.output) < 5e-6);
  }
}

TEST_CASE("NSA selects the first, the current and the previous block, and really selects") {
  const NsaShape shape{.compress_block = 8, .stride = 4, .select_block = 16, .selected = 4, .window = 20};
  const NsaResult<double> result = nsa_attention(nsa_inputs(150, 4, shape), shape);
  std::vector<Index> fourth;
  for (Index t = 0; t < 150; ++t) {
    const std::vector<Index>& s = result.selected[static_cast<std::size_t>(t)];
    const Index current = t / 16;
    CHECK(std::ssize(s) == std::min<Index>(4, current + 1));
    for (const Index forced : {Index(0), current, std::max<Index>(0, current - 1)}) {
      CHECK(std::binary_search(s.begin(), s.end(), forced));
    }
    if (current >= 8) fourth.push_back(s[1]);
  }
  CHECK(*std::max_element(fourth.begin(), fourth.end()) != *std::min_element(fourth.begin(), fourth.end()));
}

TEST_CASE("NSA: overlap of compressed and selected blocks, and tokens read per query") {
  const NsaShape paper;  // 32 every 16, blocks of 64: compressed blocks 3 and 7 lie across borders
  CHECK(paper.overlap(0, 0) == 2);
  CHECK(paper.overlap(3, 0) == 1);
  CHECK(paper.overlap(3, 1) == 1);
  CHECK(paper.overlap(4, 0) == 0);
  CHECK(paper.overlap(4, 1) == 2);
  // Paper table 4: S / 16 + 1024 + 512 tokens; the exact count of compressed ones is (S - 32) / 16 + 1.
  for (const auto& [context, tokens] :
       std::vector<std::pair<Index, Index>>{{8192, 2048}, {16384, 2560}, {32768, 3584}, {65536, 5632}}) {
    const Index read = paper.compressed(context) + paper.selected * paper.select_block + paper.window;
    CHECK(read == tokens - 1);
  }
  CHECK(paper.compressed(31) == 0);
  CHECK(paper.compressed(32) == 1);
}

TEST_CASE("NSA with every block selected, an open gate and the others shut is causal attention") {
  const NsaShape shape{.compress_block = 8, .stride = 4, .select_block = 16, .selected = 100, .window = 20};
  NsaInputs<double> in = nsa_inputs(70, 2, shape);
  in.gates.setZero();
  in.gates.col(1).setOnes();
  in.gates.col(4).setOnes();
  const Matrix<double> causal = per_head(in.q, in.k, in.v, 2, 1, [](const auto& q, const auto& k, const auto& v) {
    return attention(q, k, v, causal_mask(q.rows(), k.rows()));
  });
  CHECK(rms_ratio(nsa_attention_by_gather(in, shape).output, causal) < 1e-12);
}

TEST_CASE("MoBA by blocks equals the mask of the selected blocks") {
  for (const Index tokens : {Index(1), Index(16), Index(90)}) {
    SeededValues values(2);
    const Matrix<double> q = values.matrix(tokens, 16), k = values.matrix(tokens, 16), v = values.matrix(tokens, 24);
    for (const Index top : {1, 3, 50}) {
      CAPTURE(tokens, top);
      const Matrix<double> expected = moba_attention(q, k, v, 16, top);
      CHECK(rms_ratio(moba_attention_by_blocks(q, k, v, 16, top, {8, 8}), expected) < 1e-12);
      CHECK(moba_select<float>(f(q), f(k), 16, top) == moba_select(q, k, 16, top));
      CHECK(rms_ratio(moba_attention_by_blocks<float>(f(q), f(k), f(v), 16, top, {8, 8}), expected) < 5e-6);
      const Matrix<double> full = attention(q, k, v, causal_mask(tokens, tokens)).output;
      if (top == 50) CHECK(rms_ratio(expected, full) < 1e-12);
      if (top == 1 && tokens > 16) CHECK(rms_ratio(expected, full) > 0.1);
    }
  }
}

TEST_CASE("MoBA selects its own block and the blocks whose mean fits best") {
  Matrix<double> k = Matrix<double>::Zero(12, 2), q = Matrix<double>::Zero(12, 2);
  k.row(5) << 9, 0;  // block 1 of 4 tokens
  q.row(11) << 1, 0;
  CHECK(moba_select(q, k, 4, 2)[11] == std::vector<Index>{1, 2});
  q.row(11) << -1, 0;
  CHECK(moba_select(q, k, 4, 2)[11] == std::vector<Index>{0, 2});
  k.setZero();
  k.topRows(4).setConstant(2);  // mean 2 in block 0 against 1.75 in block 1
  k.middleRows(4, 4).setConstant(1);
  k(5, 0) = 4;
  q.row(11) << 1, 0;
  CHECK(moba_select(q, k, 4, 2)[11] == std::vector<Index>{0, 2});
}

TEST_CASE("DSA by gathering equals the mask of the indexer's tokens") {
  for (const auto& [queries, keys] : std::vector<std::pair<Index, Index>>{{1, 1}, {1, 80}, {80, 80}}) {
    SeededValues values(3);
    const Index heads = 4;
    const Matrix<double> q = values.matrix(queries, heads * 24), k = values.matrix(keys, 24), v = k.leftCols(16);
    const Matrix<double> qi = values.matrix(queries, 3 * 8), ki = values.matrix(keys, 8), w = values.matrix(queries, 3);
    const Matrix<double> scores = lightning_index_scores(qi, ki, w);
    for (const Index top : {1, 10, 200}) {
      CAPTURE(queries, keys, top);
      const BlockList selected = dsa_select(scores, top);
      const Matrix<double> expected = dsa_attention(q, k, v, heads, selected);
      CHECK(rms_ratio(dsa_attention_by_gather(q, k, v, heads, selected, {heads, 8}), expected) < 1e-12);
      CHECK(rms_ratio(dsa_attention_by_gather<float>(f(q), f(k), f(v), heads, selected, {heads, 8}), expected) < 5e-6);
      for (Index t = 0; t < queries; ++t) {
        const std::vector<Index>& s = selected[static_cast<std::size_t>(t)];
        CHECK(std::ssize(s) == top);  // padded
        CHECK(std::count(s.begin(), s.end(), -1) == std::max<Index>(0, top - (keys - queries + t + 1)));
        CHECK(*std::max_element(s.begin(), s.end()) <= keys - queries + t);
      }
      if (top == 200) {
        const Matrix<double> full = per_head(q, k, v, heads, 1, [&](const auto& a, const auto& b, const auto& c) {
          return attention(a, b, c, causal_mask(queries, keys));
        });
        CHECK(rms_ratio(expected, full) < 1e-12);
      }
    }
  }
}

TEST_CASE("an index score is the weighted sum of the positive products") {
  const Matrix<double> q{{1, 0, 0, 2, -1, -1}}, k{{3, 5}}, w{{0.5, -0.25, 7}};  // products 3, 10 and -8
  CHECK(lightning_index_scores(q, k, w)(0, 0) == 0.5 * 3 - 0.25 * 10);
}

TEST_CASE("the lightning indexer costs 2 heads d per pair in its products") {
  const Index tokens = 9, heads = 4, d = 8;
  SeededValues values(4);
  const Matrix<Counted> q = values.matrix(tokens, heads * d).cast<Counted>(),
                        k = values.matrix(tokens, d).cast<Counted>(), w = values.matrix(tokens, heads).cast<Counted>();
  Counted::reset();
  (void)lightning_index_scores(q, k, w);
  const std::uint64_t all = pairs(causal_mask(tokens, tokens));
  CHECK(Counted::counts().flops() == 2 * heads * d * all + 2 * heads * all);  // and the weighted sum of the heads
  // DeepSeek-V3.2: 64 heads of 128 -> 16384 FLOP per pair against 128 heads of 576 + 512 -> 278528 of the core.
  CHECK(2 * 64 * 128 == 16384);
}

TEST_CASE("the Hadamard rotation is orthogonal and leaves index scores as they are") {
  SeededValues values(5);
  const Matrix<double> q = values.matrix(12, 16), k = values.matrix(12, 16), w = values.matrix(12, 1);
  const Matrix<double> h = hadamard_rotated<double>(Matrix<double>::Identity(16, 16));
  CHECK(rms_ratio((h * h.transpose()).eval(), Matrix<double>::Identity(16, 16)) < 1e-15);
  CHECK((h.cwiseAbs().array() == 0.25).all());
  CHECK(h == h.transpose());
  CHECK((h.row(0).array() == 0.25).all());
  CHECK(h(1, 1) == -0.25);
  CHECK(rms_ratio(hadamard_rotated(q), (q * h).eval()) < 1e-15);
  const Mask causal = causal_mask(12, 12);
  const Matrix<double> plain = lightning_index_scores(q, k, w);
  const Matrix<double> rotated = lightning_index_scores(hadamard_rotated(q), hadamard_rotated(k), w);
  for (Index i = 0; i < plain.size(); ++i) {
    if (causal.data()[i]) CHECK(rotated.data()[i] == Approx(plain.data()[i]).margin(1e-13));
  }
  // One outlier of 100 spreads over all dimensions.
  Matrix<double> spike = Matrix<double>::Zero(1, 16);
  spike(0, 3) = 100;
  CHECK(hadamard_rotated(spike).cwiseAbs().maxCoeff() == 25);
}

TEST_CASE("Quest by pages equals the mask of its pages, and its score bounds every key of the page") {
  for (const Index keys : {Index(1), Index(16), Index(203)}) {
    SeededValues values(6);
    const Matrix<double> q = values.matrix(1, 16), k = values.matrix(keys, 16), v = values.matrix(keys, 24);
    const Vector<double> scores = page_scores<double>(q.row(0).transpose(), page_bounds(k, 16));
    const Vector<double> products = k * q.row(0).transpose();
    for (Index j = 0; j < keys; ++j) CHECK(products(j) <= scores(j / 16) + 1e-12);
    for (const Index top : {1, 4, 100}) {
      CAPTURE(keys, top);
      const Matrix<double> expected = quest_attention(q, k, v, 16, top);
      CHECK(rms_ratio(quest_attention_by_pages(q, k, v, 16, top), expected) < 1e-12);
      CHECK(rms_ratio(quest_attention_by_pages<float>(f(q), f(k), f(v), 16, top), expected) < 5e-6);
      const Matrix<double> full = attention(q, k, v, full_mask(1, keys)).output;
      if (top == 100) CHECK(rms_ratio(expected, full) < 1e-12);
      if (top == 1 && keys > 16) CHECK(rms_ratio(expected, full) > 0.01);
    }
  }
}

TEST_CASE("a page of one key has that key's score exactly") {
  SeededValues values(7);
  const Matrix<double> k = values.matrix(5, 8);
  const Vector<double> q = values.vector(8);
  CHECK(rms_ratio(page_scores(q, page_bounds(k, 1)), (k * q).eval()) < 1e-15);
}
