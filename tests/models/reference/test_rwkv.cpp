// SPDX-License-Identifier: Apache-2.0
// The WKV operators of RWKV-4, 5, 6 and 7: fast forms equal the definitions; FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/counted.h"
#include "models/reference/head_shapes.h"
#include "models/reference/rwkv4.h"
#include "models/reference/rwkv6.h"
#include "models/reference/rwkv7.h"

using namespace lightcone::models::reference;
using lightcone::test::HeadShape;
using lightcone::test::kHeadShapes;
using lightcone::test::kLargeHead;

namespace {

GatedHead<double> rwkv6_head(const HeadShape& s) {
  SeededValues values(std::uint64_t(s.tokens * 1000 + s.chunk));
  return {values.matrix(s.tokens, s.dk, 1 / std::sqrt(double(s.dk))), values.matrix(s.tokens, s.dk),
          values.matrix(s.tokens, s.dv), -values.matrix(s.tokens, s.dk).array().exp(), values.matrix(s.dk, s.dv)};
}

// a and b as the model makes them: a = -kk, b = kk o rate; decays e^{-e^{w}} with w = -softplus(.) - 0.5.
Rwkv7Head<double> rwkv7_head(const HeadShape& s) {
  SeededValues values(std::uint64_t(s.tokens * 1000 + s.chunk));
  const Matrix<double> kk = unit_rows(values.matrix(s.tokens, s.dk));
  const Matrix<double> rate = values.matrix(s.tokens, s.dk).unaryExpr([](double x) { return 1 / (1 + std::exp(-x)); });
  const Matrix<double> log_decay =
      values.matrix(s.tokens, s.dk).unaryExpr([](double x) { return -std::exp(-std::log1p(std::exp(-x)) - 0.5); });
  return {values.matrix(s.tokens, s.dk, 1 / std::sqrt(double(s.dk))),
          values.matrix(s.tokens, s.dk),
          values.matrix(s.tokens, s.dv),
          -kk,
          kk.cwiseProduct(rate),
          log_decay,
          values.matrix(s.dk, s.dv)};
}

Rwkv4Channels<double> rwkv4_channels(Eigen::Index tokens, Eigen::Index channels) {
  SeededValues values{std::uint64_t(tokens)};
  return {values.matrix(tokens, channels), values.matrix(tokens, channels), -values.vector(channels).array().exp(),
          values.vector(channels)};
}

template <class Number>
GatedHead<Number> cast(const GatedHead<double>& h) {
  return {h.q.cast<Number>(), h.k.cast<Number>(), h.v.cast<Number>(), h.log_decay.cast<Number>(),
          h.initial.cast<Number>()};
}
template <class Number>
Rwkv7Head<Number> cast(const Rwkv7Head<double>& h) {
  return {h.r.cast<Number>(), h.k.cast<Number>(),         h.v.cast<Number>(),      h.a.cast<Number>(),
          h.b.cast<Number>(), h.log_decay.cast<Number>(), h.initial.cast<Number>()};
}
template <class Number>
Rwkv4Channels<Number> cast(const Rwkv4Channels<double>& c) {
  return {c.k.cast<Number>(), c.v.cast<Number>(), c.w.cast<Number>(), c.u.cast<Number>()};
}

}  // namespace

TEST_CASE("RWKV-4: the recurrence with a running maximum equals the sums written out") {
  for (const Eigen::Index tokens : {1, 2, 50}) {
    const Rwkv4Channels<double> in = rwkv4_channels(tokens, 6);
    const Matrix<double> expected = rwkv4_quadratic(in);
    CHECK(rms_ratio(rwkv4_recurrent(in), expected) < 1e-12);
    CHECK(rms_ratio(rwkv4_recurrent(cast<float>(in)), expected) < 5e-6);
  }
  Rwkv4Channels<double> in = rwkv4_channels(1, 6);
  CHECK(rms_ratio(rwkv4_recurrent(in), in.v) < 1e-15);  // one token sees itself alone
}

TEST_CASE("RWKV-4: keys whose exponential overflows") {
  Rwkv4Channels<double> in = rwkv4_channels(20, 4);
  const Matrix<double> expected = rwkv4_quadratic(in);
  in.k.array() += 900;  // a factor common to all weights
  CHECK_FALSE(rwkv4_quadratic(in).allFinite());
  CHECK(rms_ratio(rwkv4_recurrent(in), expected) < 1e-12);
}

TEST_CASE("RWKV-6: chunked equals recurrent equals one chunk; fp32; bf16 operands") {
  for (const HeadShape& s : kHeadShapes) {
    const GatedHead<double> head = rwkv6_head(s);
    const Vector<double> bonus = SeededValues(9).vector(s.dk);
    const HeadResult<double> expected = rwkv6_recurrent(head, bonus);
    for (const Eigen::Index sub_block : {1, 16}) {
      const HeadResult<double> got = rwkv6_chunked(head, bonus, s.chunk, sub_block);
      CHECK(rms_ratio(got.output, expected.output) < 1e-12);
      CHECK(rms_ratio(got.state, expected.state) < 1e-12);
    }
    CHECK(rms_ratio(rwkv6_chunked(head, bonus, s.tokens).output, expected.output) < 1e-12);
  }
  const GatedHead<double> head = rwkv6_head(kLargeHead);
  const Vector<double> bonus = SeededValues(9).vector(kLargeHead.dk);
  const Vector<float> single = bonus.cast<float>();
  const Matrix<double> expected = rwkv6_recurrent(head, bonus).output;
  CHECK(rms_ratio(rwkv6_recurrent(cast<float>(head), single).output, expected) < 5e-6);
  CHECK(rms_ratio(rwkv6_chunked(cast<float>(head), single, 64).output, expected) < 5e-6);
  CHECK(rms_ratio(rwkv6_chunked(cast<float>(head), single, 64, 16, Bf16Operands{}).output, expected) < 5e-3);
  CHECK(rms_ratio(rwkv6_chunked(cast<float>(head), single, 64, 16, Bf16Operands{}).output, expected) > 1e-4);
}

TEST_CASE("RWKV-5: the same decays for all tokens, as powers") {
  GatedHead<double> head = rwkv6_head({12, 4, 3, 5});
  head.initial.resize(0, 0);
  head.log_decay = head.log_decay.row(0).replicate(12, 1).eval();
  const Vector<double> bonus = SeededValues(9).vector(4);
  Matrix<double> expected = Matrix<double>::Zero(12, 3);
  for (Eigen::Index t = 0; t < 12; ++t) {
    for (Eigen::Index i = 0; i <= t; ++i) {
      for (Eigen::Index d = 0; d < 4; ++d) {
        const double weight = i == t ? bonus(d) : std::pow(std::exp(head.log_decay(0, d)), double(t - 1 - i));
        expected.row(t) += weight * head.q(t, d) * head.k(i, d) * head.v.row(i);
      }
    }
  }
  CHECK(rms_ratio(rwkv6_recurrent(head, bonus).output, expected) < 1e-13);
  CHECK(rms_ratio(rwkv6_chunked(head, bonus, 5).output, expected) < 1e-13);
}

TEST_CASE("RWKV-7: chunked equals recurrent equals one chunk; fp32; bf16 operands") {
  for (const HeadShape& s : kHeadShapes) {
    const Rwkv7Head<double> head = rwkv7_head(s);
    const HeadResult<double> expected = rwkv7_recurrent(head);
    for (const Eigen::Index sub_block : {1, 16}) {
      const HeadResult<double> got = rwkv7_chunked(head, s.chunk, sub_block);
      CHECK(rms_ratio(got.output, expected.output) < 1e-12);
      CHECK(rms_ratio(got.state, expected.state) < 1e-12);
    }
    CHECK(rms_ratio(rwkv7_chunked(head, s.tokens).output, expected.output) < 1e-12);
  }
  const Rwkv7Head<double> head = rwkv7_head(kLargeHead);
  const Matrix<double> expected = rwkv7_recurrent(head).output;
  CHECK(rms_ratio(rwkv7_recurrent(cast<float>(head)).output, expected) < 5e-6);
  CHECK(rms_ratio(rwkv7_chunked(cast<float>(head), 64).output, expected) < 5e-6);
  const double error = rms_ratio(rwkv7_chunked(cast<float>(head), 64, 16, Bf16Operands{}).output, expected);
  CHECK(error < 8e-3);
  CHECK(error > 1e-4);
}

TEST_CASE("RWKV-7 equals the transition matrix applied from the right, as the paper writes it") {
  const Rwkv7Head<double> head = rwkv7_head({9, 4, 3, 4});
  Matrix<double> state = head.initial.transpose(), output(9, 3);  // dv x dk
  for (Eigen::Index t = 0; t < 9; ++t) {
    const Matrix<double> w = head.log_decay.row(t).array().exp().matrix().asDiagonal();
    const Matrix<double> transition = w + head.a.row(t).transpose() * head.b.row(t);
    state = state * transition + head.v.row(t).transpose() * head.k.row(t);
    output.row(t) = state * head.r.row(t).transpose();
  }
  CHECK(rms_ratio(rwkv7_recurrent(head).output, output) < 1e-13);
}

TEST_CASE("FLOPs of RWKV") {
  const std::uint64_t tokens = 10, dk = 6, dv = 5;
  const HeadShape s{10, 6, 5, 4};
  Counted::reset();
  (void)rwkv7_recurrent(cast<Counted>(rwkv7_head(s)));
  CHECK(Counted::counts().flops() == tokens * 9 * dk * dv);
  CHECK(Counted::counts().specials == tokens * dk);
  // RWKV-6: k v^T and r S as GEMMs (4), bonus, its sum, decay, update: 8 dk dv. 5 dk dv is without the bonus, and with
  // the update fused in the product.
  Counted::reset();
  (void)rwkv6_recurrent(cast<Counted>(rwkv6_head(s)), Vector<Counted>(SeededValues(9).vector(6).cast<Counted>()));
  CHECK(Counted::counts().flops() == tokens * 8 * dk * dv);
  Counted::reset();
  (void)rwkv4_recurrent(cast<Counted>(rwkv4_channels(10, 6)));
  CHECK(Counted::counts().flops() == tokens * 6 * 17);
  CHECK(Counted::counts().specials == tokens * 6 * 4);
}
