// SPDX-License-Identifier: Apache-2.0
// FlashAttention: the tiled, split, packed and recomputing forms equal the definition.
#include "models/reference/flash_attention.h"

#include <tuple>

#include "catch.h"
#include "models/reference/counted.h"

using namespace lightcone::models::reference;

namespace {

struct Inputs {
  Matrix<double> q, k, v;
};

Inputs inputs(Index queries, Index keys, Index d, Index dv, std::uint64_t seed = 1) {
  SeededValues values(seed);
  return {values.matrix(queries, d), values.matrix(keys, d), values.matrix(keys, dv)};
}

Matrix<float> f(const Matrix<double>& m) { return m.cast<float>(); }

struct Shape {
  Index queries, keys;
  Mask mask;
};

// Length 1, not a multiple of any tile, window 1 and beyond the length, keys without queries and the reverse.
std::vector<Shape> shapes() {
  return {{1, 1, causal_mask(1, 1)},
          {1, 67, causal_mask(1, 67)},
          {67, 67, causal_mask(67, 67)},
          {67, 67, full_mask(67, 67)},
          {64, 64, causal_mask(64, 64)},
          {67, 67, window_mask(67, 67, 1)},
          {67, 67, window_mask(67, 67, 20)},
          {67, 67, window_mask(67, 67, 99)},
          {9, 67, causal_mask(9, 67)},
          {67, 9, causal_mask(67, 9)},
          {67, 67, sink_window_mask(67, 67, 4, 10)}};
}

const std::vector<FlashTiles> kTiles = {{1, 1}, {16, 16}, {32, 8}, {128, 128}};

}  // namespace

TEST_CASE("flash attention equals the definition in double") {
  for (const Shape& s : shapes()) {
    const auto [q, k, v] = inputs(s.queries, s.keys, 16, 24);
    for (const AttentionOptions& options : {AttentionOptions{}, AttentionOptions{.soft_cap = 5, .sink = 0.5}}) {
      const Attended<double> expected = attention(q, k, v, s.mask, options);
      for (const FlashTiles tiles : kTiles) {
        CAPTURE(s.queries, s.keys, pairs(s.mask), tiles.queries, tiles.keys);
        const Attended<double> got = flash_attention(q, k, v, s.mask, tiles, options);
        CHECK(rms_ratio(got.output, expected.output) < 1e-12);
        CHECK((got.lse.array() == expected.lse.array() || (got.lse - expected.lse).array().abs() < 1e-12).all());
      }
    }
  }
}

TEST_CASE("flash attention in fp32 keeps the error of fp32, with large scores too") {
  const auto [q, k, v] = inputs(256, 256, 32, 48);
  const Mask mask = causal_mask(256, 256);
  CHECK(rms_ratio(flash_attention<float>(f(q), f(k), f(v), mask, {64, 64}).output, attention(q, k, v, mask).output) <
        5e-6);
  // Scores of several hundred: exp without the running maximum would overflow fp32.
  const Matrix<double> hot = 40 * q;
  CHECK(attention_scores(hot, k, mask).maxCoeff() > 100);
  CHECK(rms_ratio(flash_attention<float>(f(hot), f(k), f(v), mask, {64, 64}).output,
                  attention(hot, k, v, mask).output) < 5e-5);
}

TEST_CASE("flash attention with bf16 operands errs at most twice as much as plain bf16 attention") {
  // FlashAttention's own criterion (tests/test_flash_attn.py): max |flash - exact| <= 2 max |plain bf16 - exact|, where
  // plain rounds scores and probabilities to bf16.
  for (const Index tokens : {Index(1), Index(67), Index(256)}) {
    const auto [q, k, v] = inputs(tokens, tokens, 64, 64);
    const Mask mask = causal_mask(tokens, tokens);
    const Matrix<float> qb = rounded_to_bf16(f(q)), kb = rounded_to_bf16(f(k)), vb = rounded_to_bf16(f(v));
    const Matrix<double> exact =
        attention<double>(qb.cast<double>(), kb.cast<double>(), vb.cast<double>(), mask).output;
    const Matrix<float> scores = rounded_to_bf16(attention_scores(qb, kb, mask));
    Matrix<float> p(tokens, tokens);
    for (Index i = 0; i < tokens; ++i) {
      const auto e = (scores.row(i).array() - scores.row(i).maxCoeff()).exp().eval();
      p.row(i) = e / e.sum();
    }
    const Matrix<float> plain = rounded_to_bf16(Matrix<float>(rounded_to_bf16(p) * vb));
    const Attended<float> flash = flash_attention<float, ToBf16>(f(q), f(k), f(v), mask, {64, 64});
    const double flash_error = (flash.output.cast<double>() - exact).cwiseAbs().maxCoeff();
    const double plain_error = (plain.cast<double>() - exact).cwiseAbs().maxCoeff();
    CAPTURE(tokens, flash_error, plain_error);
    CHECK(flash_error <= 2 * plain_error + (tokens == 1 ? 0 : 1e-5));
    CHECK(rms_ratio(flash.output, exact) < 0.005);
    CHECK(flash.output == rounded_to_bf16(flash.output));
    if (tokens > 1) CHECK(rms_ratio(flash.output, exact) > 1e-4);  // it does round
  }
}

TEST_CASE("probabilities are rounded to bf16 before they meet the values, the sum is not") {
  // Scores 0 and -d with d < 2^-9: the second probability 1 - d rounds to 1, so values 1 and -1 cancel exactly;
  // the log-sum-exp keeps the unrounded sum.
  const Matrix<float> q{{1}}, k{{0}, {-1.0F / 1024}}, opposite{{1}, {-1}};
  CHECK(flash_attention<float, ToBf16>(q, k, opposite, full_mask(1, 2), {1, 2}).output(0, 0) == 0);
  CHECK(flash_attention<float>(q, k, opposite, full_mask(1, 2), {1, 2}).output(0, 0) > 4e-4F);
  CHECK(flash_attention<float, ToBf16>(q, k, opposite, full_mask(1, 2), {1, 2}).lse(0) < std::log(2.0F));
}

TEST_CASE("split-KV with merge equals one pass, whatever the number of splits") {
  for (const Index queries : {Index(1), Index(5)}) {
    const auto [q, k, v] = inputs(queries, 203, 16, 16);
    for (const Mask& mask : {causal_mask(queries, 203), window_mask(queries, 203, 40)}) {
      for (const AttentionOptions& options : {AttentionOptions{}, AttentionOptions{.sink = 1}}) {
        const Attended<double> expected = attention(q, k, v, mask, options);
        for (const Index splits : {1, 2, 3, 7, 100}) {
          CAPTURE(queries, splits);
          const Attended<double> got = split_kv_attention(q, k, v, mask, splits, {16, 16}, options);
          CHECK(rms_ratio(got.output, expected.output) < 1e-12);
          CHECK(rms_ratio(got.lse, expected.lse) < 1e-12);
        }
        CHECK(rms_ratio(split_kv_attention<float>(f(q), f(k), f(v), mask, 5, {16, 16}, options).output,
                        expected.output) < 5e-6);
      }
    }
  }
}

TEST_CASE("packed GQA equals head by head") {
  for (const Index queries : {Index(1), Index(6)}) {
    SeededValues values(8);
    const Matrix<double> q = values.matrix(queries, 4 * 8), k = values.matrix(37, 8), v = values.matrix(37, 8);
    const Mask mask = causal_mask(queries, 37);
    const Matrix<double> expected =
        per_head(q, k, v, 4, 1, [&](const auto& a, const auto& b, const auto& c) { return attention(a, b, c, mask); });
    CHECK(rms_ratio(packed_gqa_attention(q, k, v, mask, 4, {16, 16}), expected) < 1e-12);
  }
}

TEST_CASE("flash backward equals the backward with the whole matrix") {
  for (const Shape& s : shapes()) {
    if (s.queries > s.keys) continue;  // a row without keys has no log-sum-exp to start from
    const auto [q, k, v] = inputs(s.queries, s.keys, 8, 12);
    const Matrix<double> d_output = SeededValues(9).matrix(s.queries, 12);
    for (const AttentionOptions& options :
         {AttentionOptions{}, AttentionOptions{.scale = 0.2, .soft_cap = 3, .sink = 0.5}}) {
      CAPTURE(s.queries, s.keys, pairs(s.mask));
      const AttentionGradients expected = attention_backward(q, k, v, s.mask, d_output, options);
      const FlashTiles tiles{16, 32};
      const Attended<double> forward = flash_attention(q, k, v, s.mask, tiles, options);
      const FlashGradients<double> got = flash_backward(q, k, v, s.mask, forward, d_output, tiles, options);
      // Of a query with a single key the gradients of q and k are exactly zero, so the scale is that of all three.
      const double scale = expected.q.norm() + expected.k.norm() + expected.v.norm();
      CHECK((got.q - expected.q).norm() < 1e-12 * scale);
      CHECK((got.k - expected.k).norm() < 1e-12 * scale);
      CHECK((got.v - expected.v).norm() < 1e-12 * scale);
      const Attended<float> forward32 = flash_attention<float>(f(q), f(k), f(v), s.mask, tiles, options);
      const FlashGradients<float> got32 =
          flash_backward<float>(f(q), f(k), f(v), s.mask, forward32, f(d_output), tiles, options);
      CHECK((got32.q.cast<double>() - expected.q).norm() < 5e-6 * scale);
      CHECK((got32.k.cast<double>() - expected.k).norm() < 5e-6 * scale);
      CHECK((got32.v.cast<double>() - expected.v).norm() < 5e-6 * scale);
    }
  }
}

TEST_CASE("flash attention computes whole tiles: 4 FLOP per pair and element forward, 10 backward") {
  // bwd = 2.5 x fwd: five products (S again, dP, dV, dQ, dK) against two.
  const Index tokens = 50, d = 8, tile = 16;
  SeededValues values(3);
  const Matrix<Counted> q = values.matrix(tokens, d).cast<Counted>(), k = values.matrix(tokens, d).cast<Counted>(),
                        v = values.matrix(tokens, d).cast<Counted>(), g = values.matrix(tokens, d).cast<Counted>();
  const Mask mask = causal_mask(tokens, tokens);
  std::uint64_t computed = 0, visits = 0;  // elements of the visited tiles, and rows times tiles
  for (Index i = 0; i < tokens; i += tile) {
    for (Index j = 0; j <= i; j += tile) {
      const auto rows = static_cast<std::uint64_t>(std::min(tile, tokens - i));
      computed += rows * static_cast<std::uint64_t>(std::min(tile, tokens - j));
      visits += rows;
    }
  }
  CHECK(computed > pairs(mask));
  Counted::reset();
  const Attended<Counted> forward = flash_attention(q, k, v, mask, {tile, tile});
  Counts counts = Counted::counts();
  const std::uint64_t rows = tokens, width = d;
  // Multiplications: two products, the scale, and the rescaling of the output per tile and at the end. (The running sum
  // is rescaled only when the maximum rises.)
  const std::uint64_t known = 2 * computed * width + computed + visits * width + rows * width;
  CHECK(counts.multiplies >= known);
  CHECK(counts.multiplies <= known + visits);
  CHECK(counts.specials >= pairs(mask) + rows);
  CHECK(counts.specials <= pairs(mask) + rows + visits);

  Counted::reset();
  (void)flash_backward(q, k, v, mask, forward, g, {tile, tile});
  counts = Counted::counts();
  CHECK(counts.multiplies == 5 * computed * width + 3 * computed + rows * width);
  CHECK(counts.specials == pairs(mask));
}
