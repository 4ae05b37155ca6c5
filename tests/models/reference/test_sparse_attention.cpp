// SPDX-License-Identifier: Apache-2.0
// Fixed sparse patterns: block-sparse flash attention and the kernels' own forms equal dense attention under the mask.
#include "catch.h"
#include "models/reference/adaptive_span.h"
#include "models/reference/counted.h"
#include "models/reference/sparse_kernels.h"

using namespace lightcone::models::reference;

namespace {

struct Inputs {
  Matrix<double> q, k, v;
};

Inputs inputs(Index tokens, std::uint64_t seed = 1) {
  SeededValues values(seed);
  return {values.matrix(tokens, 16), values.matrix(tokens, 16), values.matrix(tokens, 24)};
}

Matrix<float> f(const Matrix<double>& m) { return m.cast<float>(); }

}  // namespace

TEST_CASE("block-sparse flash attention equals masked dense attention for every pattern") {
  for (const Index tokens : {Index(1), Index(75), Index(128)}) {
    const auto [q, k, v] = inputs(tokens);
    const std::vector<Mask> patterns = {
        strided_mask(tokens, 12),
        fixed_mask(tokens, 16, 3),
        window_mask(tokens, tokens, 16),
        sink_window_mask(tokens, tokens, 4, 20),
        longformer_mask(tokens, 8, 1, {0}),
        longformer_mask(tokens, 5, 3, {tokens / 2}),
        mask_of(bigbird_blocks((tokens + 7) / 8, 3, 2), tokens, tokens, 8, 8, false),
        mask_of(bigbird_blocks((tokens + 7) / 8, 3, 2), tokens, tokens, 8, 8, true),
    };
    for (const Mask& mask : patterns) {
      const Matrix<double> expected = attention(q, k, v, mask).output;
      for (const FlashTiles tiles : {FlashTiles{8, 8}, FlashTiles{16, 8}, FlashTiles{64, 32}}) {
        CAPTURE(tokens, pairs(mask), tiles.queries, tiles.keys);
        CHECK(rms_ratio(flash_attention(q, k, v, mask, tiles).output, expected) < 1e-12);
        CHECK(rms_ratio(flash_attention<float>(f(q), f(k), f(v), mask, tiles).output, expected) < 5e-6);
      }
    }
  }
}

TEST_CASE("a block-sparse kernel visits only its list") {
  const Index tokens = 128, d = 4, block = 16;
  SeededValues values(3);
  const Matrix<Counted> q = values.matrix(tokens, d).cast<Counted>(), k = values.matrix(tokens, d).cast<Counted>(),
                        v = values.matrix(tokens, d).cast<Counted>();
  const BlockList list = bigbird_blocks(tokens / block, 1, 4);
  std::uint64_t listed = 0;
  for (const auto& row : list) listed += row.size();
  CHECK(listed < 64);
  const Mask mask = mask_of(list, tokens, tokens, block, block, false);
  CHECK(pairs(mask) == listed * 256);
  CHECK(blocks_of(mask, block, block) == list);
  Counted::reset();
  (void)flash_attention(q, k, v, mask, list, {block, block});
  // Additions: d per pair in each of the two products, subtraction and sum per pair of the softmax, one per row for the
  // log-sum-exp, and at most one per row and visited tile where the maximum rises.
  const std::uint64_t known = 2 * pairs(mask) * d + 2 * pairs(mask) + tokens;
  CHECK(Counted::counts().adds >= known);
  CHECK(Counted::counts().adds <= known + listed * block);
}

TEST_CASE("strided attention by transposition equals the strided mask") {
  for (const Index tokens : {Index(1), Index(12), Index(75)}) {
    for (const Index stride : {1, 5, 12, 100}) {
      CAPTURE(tokens, stride);
      const auto [q, k, v] = inputs(tokens);
      const Matrix<double> expected = attention(q, k, v, strided_mask(tokens, stride)).output;
      CHECK(rms_ratio(strided_attention_by_transposition(q, k, v, stride, {4, 4}), expected) < 1e-12);
      CHECK(rms_ratio(strided_attention_by_transposition<float>(f(q), f(k), f(v), stride, {4, 4}), expected) < 5e-6);
    }
  }
}

TEST_CASE("Longformer by sliding chunks equals its mask") {
  for (const Index tokens : {Index(1), Index(32), Index(75)}) {
    for (const Index w : {1, 8, 100}) {
      for (const std::vector<Index>& global :
           {std::vector<Index>{}, std::vector<Index>{0}, std::vector<Index>{0, tokens / 2}}) {
        if (tokens == 1 && global.size() == 2) continue;
        CAPTURE(tokens, w, global.size());
        const auto [q, k, v] = inputs(tokens);
        const Matrix<double> expected = attention(q, k, v, longformer_mask(tokens, w, 1, global)).output;
        CHECK(rms_ratio(longformer_by_chunks(q, k, v, w, global), expected) < 1e-12);
        CHECK(rms_ratio(longformer_by_chunks<float>(f(q), f(k), f(v), w, global), expected) < 5e-6);
      }
    }
  }
}

TEST_CASE("sliding chunks multiply twice the band") {
  const Index tokens = 64, w = 8, d = 4;
  SeededValues values(4);
  const Matrix<Counted> q = values.matrix(tokens, d).cast<Counted>(), k = values.matrix(tokens, d).cast<Counted>();
  Counted::reset();
  (void)sliding_chunk_scores(q, k, w);
  CHECK(Counted::counts().adds == (tokens / w - 1) * (2 * w) * (2 * w) * d);  // -> 4 w T d, the band 2 w T d
}

TEST_CASE("BigBird by gathered blocks equals its mask") {
  for (const Index tokens : {Index(1), Index(8), Index(61), Index(96)}) {
    CAPTURE(tokens);
    const auto [q, k, v] = inputs(tokens);
    const BlockList blocks = bigbird_blocks((tokens + 7) / 8, 3, 6);
    const Matrix<double> expected = attention(q, k, v, mask_of(blocks, tokens, tokens, 8, 8, false)).output;
    CHECK(rms_ratio(block_attention_by_gather(q, k, v, blocks, 8), expected) < 1e-12);
    CHECK(rms_ratio(block_attention_by_gather<float>(f(q), f(k), f(v), blocks, 8), expected) < 5e-6);
  }
}

TEST_CASE("adaptive span: trimmed equals the whole row, and long spans equal causal attention") {
  for (const Index tokens : {Index(1), Index(75), Index(200)}) {
    const auto [q, k, v] = inputs(tokens);
    for (const AdaptiveSpan head :
         {AdaptiveSpan{0, 1}, AdaptiveSpan{0, 32}, AdaptiveSpan{31.5, 32}, AdaptiveSpan{70, 20}}) {
      CAPTURE(tokens, head.span, head.ramp);
      const Matrix<double> expected = adaptive_span_attention(q, k, v, head);
      CHECK(rms_ratio(adaptive_span_by_trimming(q, k, v, head), expected) < 1e-12);
      CHECK(rms_ratio(adaptive_span_by_trimming<float>(f(q), f(k), f(v), head), expected) < 5e-6);
    }
    const Matrix<double> causal = attention(q, k, v, causal_mask(tokens, tokens)).output;
    CHECK(rms_ratio(adaptive_span_attention(q, k, v, {1e6, 32}), causal) < 1e-12);
    CHECK(rms_ratio(adaptive_span_attention(q, k, v, {0, 1}), v) < 1e-12);  // only the token itself has weight
  }
  CHECK(AdaptiveSpan{31.5, 32}.trimmed() == 64);
  CHECK(AdaptiveSpan{32.5, 32}.trimmed() == 128);
}

TEST_CASE("the gradient of the span is its finite difference") {
  const auto [q, k, v] = inputs(40);
  const Matrix<double> weight = SeededValues(7).matrix(40, 24);
  const double z = 9.3, step = 1e-6;  // no distance is at an end of the ramp
  const auto loss = [&, &q = q, &k = k, &v = v](double span) {
    return (adaptive_span_attention(q, k, v, {span, 8}).array() * weight.array()).sum();
  };
  CHECK(adaptive_span_gradient(q, k, v, {z, 8}, weight) ==
        Approx((loss(z + step) - loss(z - step)) / (2 * step)).epsilon(1e-6));
}
