// SPDX-License-Identifier: Apache-2.0
// Attention over a quantised KV cache: scales folded into scores and probabilities equal attention over the dequantised
// cache.
#include "models/reference/quantised_kv.h"

#include "catch.h"

using namespace lightcone::models::reference;

TEST_CASE("attention on codes equals attention on the dequantised cache, and errs as its format does") {
  for (const auto& [queries, keys] : std::vector<std::pair<Index, Index>>{{1, 1}, {1, 130}, {40, 40}, {3, 2}}) {
    SeededValues values(1);
    const Matrix<double> q = values.matrix(queries, 64), k = values.matrix(keys, 64), v = values.matrix(keys, 64);
    const Mask mask = causal_mask(queries, keys);
    const Matrix<double> exact = attention(q, k, v, mask).output;
    for (const auto& [scheme, error] : {std::pair{kKvInt8, 0.03}, std::pair{kKvFp8, 0.08}}) {
      CAPTURE(queries, keys, error);
      const Quantised qk = quantise(k.cast<float>(), scheme), qv = quantise(v.cast<float>(), scheme);
      const Attended<float> got = quantised_kv_attention(q.cast<float>(), qk, qv, mask);
      const Attended<double> expected = attention<double>(q, dequantised(qk), dequantised(qv), mask);
      CHECK(rms_ratio(got.output, expected.output) < 5e-6);
      CHECK((got.lse.cast<double>().array() == expected.lse.array() ||
             (got.lse.cast<double>() - expected.lse).array().abs() < 1e-5)
                .all());
      CHECK(rms_ratio(got.output, exact) < error);
      CHECK(rms_ratio(got.output, exact) > error / 20);
    }
  }
}
