// SPDX-License-Identifier: Apache-2.0
// Linear attention without, with one and with many decays per token: chunked == recurrent == quadratic, and FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/counted.h"
#include "models/reference/finite_differences.h"
#include "models/reference/gated_linear_attention.h"
#include "models/reference/head_shapes.h"
#include "models/reference/linear_attention_backward.h"

using namespace lightcone::models::reference;
using lightcone::test::HeadShape;
using lightcone::test::kHeadShapes;
using lightcone::test::kLargeHead;

namespace {

enum class Decay { none, per_head, per_token };

LinearHead<double> linear_head(const HeadShape& s, Decay decay, bool with_state = true) {
  SeededValues values(std::uint64_t(s.tokens * 1000 + s.chunk));
  LinearHead<double> head{values.matrix(s.tokens, s.dk, 1 / std::sqrt(double(s.dk))),
                          values.matrix(s.tokens, s.dk),
                          values.matrix(s.tokens, s.dv),
                          {},
                          {}};
  if (with_state) head.initial = values.matrix(s.dk, s.dv);
  if (decay == Decay::per_head) head.log_decay = Vector<double>::Constant(s.tokens, retnet_log_decay(1));
  if (decay == Decay::per_token) head.log_decay = -0.1 * values.vector(s.tokens).cwiseAbs();
  return head;
}

GatedHead<double> gated_head(const HeadShape& s) {
  SeededValues values(std::uint64_t(s.tokens * 1000 + s.chunk + 1));
  // Log decays down to about -3 a token: e^{-b} alone would overflow within a chunk.
  return {values.matrix(s.tokens, s.dk, 1 / std::sqrt(double(s.dk))), values.matrix(s.tokens, s.dk),
          values.matrix(s.tokens, s.dv), -values.matrix(s.tokens, s.dk).cwiseAbs(), values.matrix(s.dk, s.dv)};
}

template <class Number>
LinearHead<Number> cast(const LinearHead<double>& head) {
  return {head.q.cast<Number>(), head.k.cast<Number>(), head.v.cast<Number>(), head.log_decay.cast<Number>(),
          head.initial.cast<Number>()};
}
template <class Number>
GatedHead<Number> cast(const GatedHead<double>& head) {
  return {head.q.cast<Number>(), head.k.cast<Number>(), head.v.cast<Number>(), head.log_decay.cast<Number>(),
          head.initial.cast<Number>()};
}

// Inputs as a 16-bit model holds them.
template <class Head>
Head with_bf16_inputs(Head head) {
  for (Matrix<double>* m : {&head.q, &head.k, &head.v})
    *m = rounded_to_bf16(m->template cast<float>()).template cast<double>();
  return head;
}

}  // namespace

TEST_CASE("linear attention: chunked equals recurrent equals quadratic") {
  for (const HeadShape& s : kHeadShapes) {
    for (const Decay decay : {Decay::none, Decay::per_head, Decay::per_token}) {
      const LinearHead<double> head = linear_head(s, decay);
      const HeadResult<double> expected = linear_attention_recurrent(head),
                               got = linear_attention_chunked(head, s.chunk);
      CHECK(rms_ratio(got.output, expected.output) < 1e-12);
      CHECK(rms_ratio(got.state, expected.state) < 1e-12);
      const LinearHead<double> from_zero = linear_head(s, decay, false);
      CHECK(rms_ratio(linear_attention_quadratic(from_zero), linear_attention_recurrent(from_zero).output) < 1e-12);
    }
  }
}

TEST_CASE("linear attention in fp32 and with bf16 operands stays near the definition") {
  const LinearHead<double> head = linear_head(kLargeHead, Decay::per_token);
  const Matrix<double> expected = linear_attention_recurrent(head).output;
  CHECK(rms_ratio(linear_attention_recurrent(cast<float>(head)).output, expected) < 5e-6);
  CHECK(rms_ratio(linear_attention_chunked(cast<float>(head), kLargeHead.chunk).output, expected) < 5e-6);
  const LinearHead<double> rounded = with_bf16_inputs(head);
  const double error =
      rms_ratio(linear_attention_chunked(cast<float>(rounded), kLargeHead.chunk, Bf16Operands{}).output,
                linear_attention_recurrent(rounded).output);
  CHECK(error < 5e-3);  // the tolerance of flash-linear-attention's tests
  CHECK(error > 1e-4);  // scores and states are rounded indeed
}

TEST_CASE("linear attention equals a sum over all earlier tokens written out") {
  const LinearHead<double> head = linear_head({9, 3, 2, 4}, Decay::per_token, false);
  Matrix<double> expected = Matrix<double>::Zero(9, 2);
  for (Eigen::Index t = 0; t < 9; ++t) {
    for (Eigen::Index i = 0; i <= t; ++i) {
      const double decay = std::exp(head.log_decay.segment(i + 1, t - i).sum());
      expected.row(t) += decay * head.q.row(t).dot(head.k.row(i)) * head.v.row(i);
    }
  }
  CHECK(rms_ratio(linear_attention_recurrent(head).output, expected) < 1e-14);
}

TEST_CASE("decays of RetNet and Lightning heads") {
  CHECK(std::exp(retnet_log_decay(0)) == Approx(31.0 / 32).epsilon(1e-14));
  CHECK(std::exp(retnet_log_decay(7)) == Approx(4095.0 / 4096).epsilon(1e-14));
  CHECK(lightning_log_decay(7, 8, 0, 12) == Approx(-8));
  CHECK(lightning_log_decay(0, 8, 6, 12) == Approx(-0.5));
}

TEST_CASE("gated linear attention: chunked with sub-blocks equals recurrent equals quadratic") {
  for (const HeadShape& s : kHeadShapes) {
    const GatedHead<double> head = gated_head(s);
    const HeadResult<double> expected = gated_linear_attention_recurrent(head);
    for (const Eigen::Index sub_block : {1, 4, 16}) {
      const HeadResult<double> got = gated_linear_attention_chunked(head, s.chunk, sub_block);
      CHECK(rms_ratio(got.output, expected.output) < 1e-12);
      CHECK(rms_ratio(got.state, expected.state) < 1e-12);
    }
    GatedHead<double> from_zero = head;
    from_zero.initial.resize(0, 0);
    CHECK(rms_ratio(gated_linear_attention_quadratic(from_zero), gated_linear_attention_recurrent(from_zero).output) <
          1e-12);
  }
}

TEST_CASE("gated linear attention in fp32 and with bf16 operands") {
  const GatedHead<double> head = gated_head(kLargeHead);
  const Matrix<double> expected = gated_linear_attention_recurrent(head).output;
  CHECK(rms_ratio(gated_linear_attention_recurrent(cast<float>(head)).output, expected) < 5e-6);
  CHECK(rms_ratio(gated_linear_attention_chunked(cast<float>(head), kLargeHead.chunk).output, expected) < 5e-6);
  const GatedHead<double> rounded = with_bf16_inputs(head);
  const double error =
      rms_ratio(gated_linear_attention_chunked(cast<float>(rounded), kLargeHead.chunk, 16, Bf16Operands{}).output,
                gated_linear_attention_recurrent(rounded).output);
  CHECK(error < 5e-3);
  CHECK(error > 1e-4);
}

TEST_CASE("without rebasing by sub-blocks the exponents of a chunk overflow fp32") {
  const GatedHead<double> head = gated_head(kLargeHead);
  const Matrix<float> b = cumulative_rows(head.log_decay.cast<float>().eval(), 0, 256);
  CHECK_FALSE(exponentials<float>(-b).allFinite());
}

TEST_CASE("equal decays in all channels are one decay") {
  const LinearHead<double> one = linear_head({50, 8, 8, 16}, Decay::per_token);
  const GatedHead<double> many{one.q, one.k, one.v, one.log_decay.replicate(1, 8), one.initial};
  CHECK(rms_ratio(gated_linear_attention_chunked(many, 16).output, linear_attention_chunked(one, 16).output) < 1e-13);
}

TEST_CASE("HGRN2 with one key channel is a leaky average") {
  SeededValues values(5);
  const Matrix<double> g = -values.matrix(20, 1).cwiseAbs();
  const GatedHead<double> head{Matrix<double>::Ones(20, 1), hgrn2_keys(g), values.matrix(20, 3), g, {}};
  const Matrix<double> got = gated_linear_attention_chunked(head, 8).output;
  Matrix<double> h = Matrix<double>::Zero(1, 3);
  for (Eigen::Index t = 0; t < 20; ++t) {
    h = std::exp(g(t)) * h + (1 - std::exp(g(t))) * head.v.row(t);
    CHECK(rms_ratio(got.row(t), h) < 1e-13);
  }
}

TEST_CASE("FLOPs of linear attention: decode steps") {
  const HeadShape s{10, 6, 5, 4};
  Counted::reset();
  (void)linear_attention_recurrent(cast<Counted>(linear_head(s, Decay::none)));
  CHECK(Counted::counts().flops() == 10 * 4 * 6 * 5);
  Counted::reset();
  (void)linear_attention_recurrent(cast<Counted>(linear_head(s, Decay::per_token)));
  CHECK(Counted::counts().flops() == 10 * 5 * 6 * 5);
  CHECK(Counted::counts().specials == 10);
  Counted::reset();
  (void)gated_linear_attention_recurrent(cast<Counted>(gated_head(s)));
  CHECK(Counted::counts().flops() == 10 * 5 * 6 * 5);
  CHECK(Counted::counts().specials == 10 * 6);
}

TEST_CASE("FLOPs of linear attention: chunks") {
  const std::uint64_t tokens = 32, dk = 6, dv = 5, c = 8;
  const HeadShape s{32, 6, 5, 8};
  const std::uint64_t gemms = tokens * (2 * c * (dk + dv) + 4 * dk * dv);
  Counted::reset();
  (void)linear_attention_chunked(cast<Counted>(linear_head(s, Decay::none)), 8);
  CHECK(Counted::counts().flops() == gemms);
  // With a decay, of lower order: the running sum, a difference and a product for each pair of the triangle, the rows
  // of Q S and K, the state.
  Counted::reset();
  (void)linear_attention_chunked(cast<Counted>(linear_head(s, Decay::per_token)), 8);
  const std::uint64_t decays = (c - 1) + c * (c + 1) + c * dv + c * (dk + 1) + dk * dv;
  CHECK(Counted::counts().flops() == gemms + tokens / c * decays);
}

TEST_CASE("FLOPs of gated linear attention: chunks with sub-blocks") {
  const std::uint64_t tokens = 64, dk = 6, dv = 5, c = 32, sub = 8, subs = c / sub;
  Counted::reset();
  (void)gated_linear_attention_chunked(cast<Counted>(gated_head({64, 6, 5, 32})), 32, 8);
  // The published 2 C dk for the scores is the full square; tiles below the diagonal are GEMMs of sub x sub, those on
  // it sums of 5 operations (difference, two products, sum, of each pair in the triangle; the exponential apart).
  const std::uint64_t tiles = subs * (subs - 1) / 2 * 2 * sub * sub * dk;
  const std::uint64_t diagonal = subs * sub * (sub + 1) / 2 * 4 * dk;
  std::uint64_t rebase = 0;  // a sum and a product for each row of the block and each key before it
  for (std::uint64_t block = 1; block < subs; ++block) rebase += 2 * (sub + block * sub) * dk;
  const std::uint64_t ends = (c - 1) * dk + c * dk + 2 * c * dk + dk * dv;
  const std::uint64_t rest = 2 * c * c * dv + 4 * c * dk * dv;
  CHECK(Counted::counts().flops() == tokens / c * (tiles + diagonal + rebase + ends + rest));
  CHECK(tiles + 2 * subs * sub * sub * dk / 2 == (2 * c * c * dk) / 2);  // half of the square, as GEMM FLOPs
}

TEST_CASE("linear attention: chunk gradients equal finite differences") {
  for (const Decay decay : {Decay::none, Decay::per_token}) {
    for (const Eigen::Index chunk : {1, 3, 16}) {
      LinearHead<double> head = linear_head({7, 3, 4, chunk}, decay);
      SeededValues values(11);
      const Matrix<double> d_output = values.matrix(7, 4), d_state = values.matrix(3, 4);
      const auto loss = [&] {
        const HeadResult<double> r = linear_attention_recurrent(head);
        return r.output.cwiseProduct(d_output).sum() + r.state.cwiseProduct(d_state).sum();
      };
      const LinearHeadGradients got = linear_attention_backward(head, chunk, d_output, d_state);
      CHECK(rms_ratio(got.q, finite_differences(head.q, loss)) < 1e-9);
      CHECK(rms_ratio(got.k, finite_differences(head.k, loss)) < 1e-9);
      CHECK(rms_ratio(got.v, finite_differences(head.v, loss)) < 1e-9);
      CHECK(rms_ratio(got.initial, finite_differences(head.initial, loss)) < 1e-9);
      CHECK(got.log_decay.size() == head.log_decay.size());
      if (decay != Decay::none) CHECK(rms_ratio(got.log_decay, finite_differences(head.log_decay, loss)) < 1e-9);
    }
  }
}
