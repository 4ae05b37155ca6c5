// SPDX-License-Identifier: Apache-2.0
// Multi-head latent attention: the absorbed form equals the plain one; its RoPE part; its counts.
#include "models/reference/mla.h"

#include "catch.h"
#include "models/graph/operator.h"
#include "models/reference/counted.h"

using namespace lightcone::models::reference;

namespace {

MlaInputs<double> inputs(Index queries, Index keys, Index heads) {
  SeededValues values(1);
  MlaInputs<double> in{values.matrix(queries, heads * 12),
                       values.matrix(queries, heads * 8),
                       values.matrix(keys, 32),
                       values.matrix(keys, 8),
                       {},
                       {}};
  for (Index n = 0; n < heads; ++n) {
    in.w_uk.push_back(values.matrix(12, 32, 0.2));
    in.w_uv.push_back(values.matrix(32, 16, 0.2));
  }
  return in;
}

template <class To>
MlaInputs<To> as(const MlaInputs<double>& in) {
  MlaInputs<To> out{in.q_nope.cast<To>(), in.q_rope.cast<To>(), in.latent.cast<To>(), in.k_rope.cast<To>(), {}, {}};
  for (const auto& w : in.w_uk) out.w_uk.push_back(w.cast<To>());
  for (const auto& w : in.w_uv) out.w_uv.push_back(w.cast<To>());
  return out;
}

template <class Number>
auto flash_under(const Mask& mask, FlashTiles tiles) {
  return [mask, tiles](const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                       const AttentionOptions& options) { return flash_attention(q, k, v, mask, tiles, options); };
}

}  // namespace

TEST_CASE("absorbed MLA equals plain MLA") {
  for (const auto& [queries, keys, heads] :
       std::vector<std::array<Index, 3>>{{1, 1, 1}, {1, 77, 4}, {2, 77, 1}, {40, 40, 3}}) {
    CAPTURE(queries, keys, heads);
    const MlaInputs<double> in = inputs(queries, keys, heads);
    const Mask mask = causal_mask(queries, keys);
    const Matrix<double> expected = mla_attention(in, mask);
    CHECK(rms_ratio(mla_absorbed(in, flash_under<double>(mask, {16, 16})), expected) < 1e-12);
    CHECK(rms_ratio(mla_absorbed(as<float>(in), flash_under<float>(mask, {16, 16})), expected) < 5e-6);
    if (keys > 1) {  // the RoPE part takes part
      MlaInputs<double> without = in;
      without.k_rope.setZero();
      CHECK(rms_ratio(mla_attention(without, mask), expected) > 0.01);
    }
  }
}

TEST_CASE("a decode step gives the last row of the prefill: its query stands at the last position") {
  const MlaInputs<double> prefill = inputs(40, 40, 3);
  MlaInputs<double> step = prefill;
  step.q_nope = prefill.q_nope.bottomRows(1);
  step.q_rope = prefill.q_rope.bottomRows(1);
  const Matrix<double> expected = mla_attention(prefill, causal_mask(40, 40)).bottomRows(1);
  CHECK(rms_ratio(mla_absorbed(step, flash_under<double>(causal_mask(1, 40), {16, 16})), expected) < 1e-12);
}

TEST_CASE("split-KV over the latents, as FlashMLA decodes, equals plain MLA") {
  const MlaInputs<double> in = inputs(1, 203, 4);
  const Mask mask = causal_mask(1, 203);
  const auto split = [&](const auto& q, const auto& k, const auto& v, const AttentionOptions& options) {
    return split_kv_attention<double>(q, k, v, mask, 4, {16, 64}, options);
  };
  CHECK(rms_ratio(mla_absorbed(in, split), mla_attention(in, mask)) < 1e-12);
}

TEST_CASE("RoPE: products depend on the distance alone, the two layouts are one permutation, norms stay") {
  SeededValues values(2);
  const Matrix<double> q = values.matrix(1, 8), k = values.matrix(1, 8);
  for (const RopeLayout layout : {RopeLayout::neighbours, RopeLayout::halves}) {
    const auto at = [&](const Matrix<double>& x, Index position) {
      return rotated_by_position(x, position, layout, 8);
    };
    const double near = at(q, 7).row(0).dot(at(k, 4).row(0));
    CHECK(at(q, 107).row(0).dot(at(k, 104).row(0)) == Approx(near).epsilon(1e-12));
    CHECK(std::abs(at(q, 8).row(0).dot(at(k, 4).row(0)) - near) > 1e-3);
    CHECK(at(q, 0) == q);
    CHECK(at(q, 9).norm() == Approx(q.norm()).epsilon(1e-14));
  }
  const std::vector<Index> order = {0, 2, 4, 6, 1, 3, 5, 7};  // neighbours -> halves
  const Matrix<double> permuted = q(Eigen::all, order);
  const Matrix<double> neighbours = rotated_by_position(q, 5, RopeLayout::neighbours, 8);
  CHECK(rms_ratio(rotated_by_position(permuted, 5, RopeLayout::halves, 8), neighbours(Eigen::all, order)) < 1e-14);
  // Positive angles, position times base^(-2i/d).
  Matrix<double> unit = Matrix<double>::Zero(1, 4);
  unit << 1, 0, 1, 0;
  const Matrix<double> turned = rotated_by_position(unit, 3, RopeLayout::neighbours, 4);
  CHECK(rms_ratio(turned, Matrix<double>{{std::cos(3), std::sin(3), std::cos(0.03), std::sin(0.03)}}) < 1e-14);
  // Partial rotation leaves the rest alone.
  const Matrix<double> part = rotated_by_position(q, 5, RopeLayout::halves, 4);
  CHECK(part.rightCols(4) == q.rightCols(4));
  CHECK(rms_ratio(part.leftCols(4), rotated_by_position<double>(q.leftCols(4), 5, RopeLayout::halves, 4)) < 1e-14);
}

TEST_CASE("RoPE costs what the operator says") {
  SeededValues values(3);
  const Matrix<Counted> q = values.matrix(5, 8).cast<Counted>();
  Counted::reset();
  (void)rotated_by_position(q, 0, RopeLayout::halves, 8);
  // One query head and one key head of 5 tokens: twice what one matrix counts.
  const lightcone::models::Cost cost = lightcone::models::cost(lightcone::models::Rotary{
      .tokens = 5, .heads = 1, .kv_heads = 1, .head_dim = 8, .rotary_dim = 8, .writes_kv_cache = false});
  CHECK(2 * Counted::counts().flops() == cost.vector_flops.count());
}

TEST_CASE("MLA counts: plain 2 (d_nope + d_rope + d_v) per pair and head, absorbed 2 (2 d_c + d_rope)") {
  const Index queries = 3, keys = 11, heads = 2, dn = 12, dr = 8, dc = 32, dv = 16;
  const MlaInputs<Counted> in = as<Counted>(inputs(queries, keys, heads));
  const Mask mask = causal_mask(queries, keys);
  const std::uint64_t p = pairs(mask) * heads, rows = queries * heads;
  // Softmax per pair: scale, subtraction, sum; per row: reciprocal, output times it, log-sum-exp. RoPE 3 per element.
  const auto softmax = [&](std::uint64_t width) { return 3 * p + rows * (width + 2); };
  Counted::reset();
  (void)mla_attention(in, mask);
  CHECK(Counted::counts().flops() ==
        2 * p * (dn + dr + dv) + 2 * keys * heads * dc * (dn + dv) + softmax(dv) + 3 * dr * (rows + keys));
  Counted::reset();
  (void)mla_absorbed(in, [&](const auto& q, const auto& k, const auto& v, const AttentionOptions& options) {
    return attention<Counted>(q, k, v, mask, options);
  });
  CHECK(Counted::counts().flops() ==
        2 * p * (2 * dc + dr) + 2 * rows * dc * (dn + dv) + softmax(dc) + 3 * dr * (rows + keys));
}
