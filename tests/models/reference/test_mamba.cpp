// SPDX-License-Identifier: Apache-2.0
// Mamba-1, Mamba-2 and Mamba-3: the kernels' forms equal the recurrences and quadratic forms; gradients; FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/counted.h"
#include "models/reference/finite_differences.h"
#include "models/reference/mamba3.h"
#include "models/reference/selective_scan.h"
#include "models/reference/state_space_duality.h"

using namespace lightcone::models::reference;

namespace {

double negative(double x) { return -std::exp(0.5 * x); }

SelectiveScan<double> scan_inputs(Eigen::Index tokens, Eigen::Index channels, Eigen::Index states, bool gate) {
  SeededValues values{std::uint64_t(tokens)};
  SelectiveScan<double> in{values.matrix(tokens, channels),
                           values.matrix(tokens, channels).unaryExpr([](double x) { return softplus(x - 1); }),
                           values.matrix(channels, states).unaryExpr(&negative),
                           values.matrix(tokens, states),
                           values.matrix(tokens, states),
                           values.vector(channels),
                           {}};
  if (gate) in.z = values.matrix(tokens, channels);
  return in;
}
template <class Number>
SelectiveScan<Number> cast(const SelectiveScan<double>& in) {
  return {in.u.cast<Number>(), in.delta.cast<Number>(), in.a.cast<Number>(), in.b.cast<Number>(),
          in.c.cast<Number>(), in.skip.cast<Number>(),  in.z.cast<Number>()};
}

SsdInputs<double> ssd_inputs(Eigen::Index tokens, Eigen::Index heads, Eigen::Index groups, Eigen::Index p,
                             Eigen::Index n) {
  SeededValues values{std::uint64_t(tokens)};
  return {values.matrix(tokens, heads * p),
          values.matrix(tokens, heads).unaryExpr([](double x) { return softplus(x - 2); }),
          values.vector(heads).unaryExpr(&negative),
          values.matrix(tokens, groups * n),
          values.matrix(tokens, groups * n),
          groups};
}
template <class Number>
SsdInputs<Number> cast(const SsdInputs<double>& in) {
  return {in.x.cast<Number>(), in.dt.cast<Number>(), in.a.cast<Number>(),
          in.b.cast<Number>(), in.c.cast<Number>(),  in.groups};
}

Mamba3Head<double> mamba3_head(Eigen::Index tokens, Eigen::Index n, Eigen::Index p) {
  SeededValues values{std::uint64_t(tokens)};
  Mamba3Head<double> head{
      values.matrix(tokens, n, 1 / std::sqrt(double(n))),
      values.matrix(tokens, n),
      values.matrix(tokens, p),
      values.vector(tokens).unaryExpr([](double x) { return softplus(x - 2); }),
      values.vector(tokens).unaryExpr(&negative),
      values.vector(tokens).unaryExpr([](double x) { return sigmoid(x); }),
      values.matrix(tokens, n / 2).unaryExpr([](double x) { return 3.141592653589793 * std::tanh(x); })};
  return head;
}
template <class Number>
Mamba3Head<Number> cast(const Mamba3Head<double>& h) {
  return {h.q.cast<Number>(), h.k.cast<Number>(),      h.v.cast<Number>(),     h.delta.cast<Number>(),
          h.a.cast<Number>(), h.lambda.cast<Number>(), h.angles.cast<Number>()};
}

}  // namespace

TEST_CASE("selective scan: blocks with a running prefix equal the serial recurrence") {
  struct Block {
    Eigen::Index tokens;
    std::size_t threads, items;
  };
  // The kernel's smallest block, 32 x 4; blocks of one; not a multiple; several blocks.
  for (const Block& s : {Block{1, 32, 4}, {9, 1, 1}, {77, 8, 3}, {128, 32, 4}, {300, 32, 4}}) {
    for (const bool gate : {false, true}) {
      const SelectiveScan<double> in = scan_inputs(s.tokens, 4, 16, gate);
      const SelectiveScanResult<double> expected = selective_scan_serial(in),
                                        got = selective_scan_blocked(in, s.threads, s.items);
      CHECK(rms_ratio(got.output, expected.output) < 1e-12);
      CHECK(rms_ratio(got.chunk_states.back(), expected.chunk_states.back()) < 1e-12);
      CHECK(got.chunk_states.size() == (std::size_t(s.tokens) + s.threads * s.items - 1) / (s.threads * s.items));
      CHECK(rms_ratio(selective_scan_serial(cast<float>(in)).output, expected.output) < 5e-6);
      CHECK(rms_ratio(selective_scan_blocked(cast<float>(in), s.threads, s.items).output, expected.output) < 5e-6);
    }
  }
}

TEST_CASE("selective scan with constant inputs is a discretised linear system") {
  // Delta, B and C constant: y_t = D u_t + sum_s C e^{(t-s) Delta A} Delta B u_s.
  SelectiveScan<double> in = scan_inputs(30, 1, 3, false);
  in.delta.setConstant(0.2);
  in.b = in.b.row(0).replicate(30, 1).eval();
  in.c = in.c.row(0).replicate(30, 1).eval();
  const Matrix<double> y = selective_scan_blocked(in, 4, 2).output;
  for (Eigen::Index t = 0; t < 30; ++t) {
    double expected = in.skip(0) * in.u(t);
    for (Eigen::Index s = 0; s <= t; ++s) {
      for (Eigen::Index n = 0; n < 3; ++n) {
        expected += in.c(0, n) * std::exp(double(t - s) * 0.2 * in.a(0, n)) * 0.2 * in.b(0, n) * in.u(s);
      }
    }
    CHECK(y(t) == Approx(expected).epsilon(1e-11));
  }
}

TEST_CASE("selective scan: recomputed gradients equal finite differences") {
  for (const bool gate : {false, true}) {
    SelectiveScan<double> in = scan_inputs(7, 2, 3, gate);
    const Matrix<double> d_output = SeededValues(5).matrix(7, 2);
    const auto loss = [&] { return selective_scan_serial(in).output.cwiseProduct(d_output).sum(); };
    for (const std::size_t items : {1, 3, 8}) {
      const SelectiveScanResult<double> forward = selective_scan_blocked(in, 1, items);
      const SelectiveScan<double> got =
          selective_scan_backward(in, forward.chunk_states, Eigen::Index(items), d_output);
      CHECK(rms_ratio(got.u, finite_differences(in.u, loss)) < 1e-9);
      CHECK(rms_ratio(got.delta, finite_differences(in.delta, loss)) < 1e-9);
      CHECK(rms_ratio(got.a, finite_differences(in.a, loss)) < 1e-9);
      CHECK(rms_ratio(got.b, finite_differences(in.b, loss)) < 1e-9);
      CHECK(rms_ratio(got.c, finite_differences(in.c, loss)) < 1e-9);
      CHECK(rms_ratio(got.skip, finite_differences(in.skip, loss)) < 1e-9);
      if (gate) CHECK(rms_ratio(got.z, finite_differences(in.z, loss)) < 1e-9);
    }
  }
}

TEST_CASE("FLOPs of the selective scan: 7 D N a token with the exponential, and 2 D") {
  Counted::reset();
  (void)selective_scan_serial(cast<Counted>(scan_inputs(10, 4, 16, false)));
  CHECK(Counted::counts().flops() == 10 * (6 * 4 * 16 + 2 * 4));
  CHECK(Counted::counts().specials == 10 * 4 * 16);
}

TEST_CASE("SSD: the five kernels equal the recurrence and the quadratic form") {
  struct Shape {
    Eigen::Index tokens, heads, groups, p, n, chunk;
  };
  for (const Shape& s : {Shape{1, 1, 1, 4, 8, 16},
                         {9, 2, 1, 3, 5, 1},
                         {100, 4, 2, 16, 8, 32},
                         {5, 4, 4, 4, 4, 64},
                         {256, 2, 1, 48, 32, 64}}) {
    const SsdInputs<double> in = ssd_inputs(s.tokens, s.heads, s.groups, s.p, s.n);
    const SsdResult<double> expected = ssd_recurrent(in), got = ssd_chunked(in, s.chunk);
    CHECK(rms_ratio(got.y, expected.y) < 1e-12);
    for (std::size_t h = 0; h < expected.states.size(); ++h)
      CHECK(rms_ratio(got.states[h], expected.states[h]) < 1e-12);
    CHECK(rms_ratio(ssd_quadratic(in), expected.y) < 1e-12);
    CHECK(rms_ratio(ssd_recurrent(cast<float>(in)).y, expected.y) < 5e-6);
    CHECK(rms_ratio(ssd_chunked(cast<float>(in), s.chunk).y, expected.y) < 5e-6);
    const double error = rms_ratio(ssd_chunked(cast<float>(in), s.chunk, Bf16Operands{}).y, expected.y);
    CHECK(error < 1e-2);
    CHECK(error > 1e-5);
  }
}

TEST_CASE("SSD with one state per head is the selective scan with one decay") {
  const SsdInputs<double> in = ssd_inputs(40, 3, 1, 1, 6);
  const SelectiveScan<double> scan{in.x, in.dt, in.a.replicate(1, 6), in.b, in.c, Vector<double>::Zero(3), {}};
  CHECK(rms_ratio(ssd_chunked(in, 16).y, selective_scan_serial(scan).output) < 1e-12);
}

TEST_CASE("FLOPs of SSD") {
  const std::uint64_t tokens = 32, heads = 4, groups = 2, p = 5, n = 6, q = 8;
  const SsdInputs<Counted> in = cast<Counted>(ssd_inputs(32, 4, 2, 5, 6));
  Counted::reset();
  (void)ssd_recurrent(in);
  CHECK(Counted::counts().flops() == tokens * heads * (5 * n * p + p + 1));
  Counted::reset();
  (void)ssd_chunked(in, 8);
  const std::uint64_t gemms = tokens * (heads * (4 * n * p + 2 * q * p) + groups * 2 * q * n);
  // Per chunk and head: dt A and its running sum; the states' factors (2 and N a row); passing; per pair of the
  // triangle a difference and two products; the rows of C S.
  const std::uint64_t rest = q + (q - 1) + q * (2 + n) + 2 * n * p + 3 * q * (q + 1) / 2 + q * p;
  CHECK(Counted::counts().flops() == gemms + tokens / q * heads * rest);
}

TEST_CASE("Mamba-3: recurrent, chunked and quadratic equal the complex states") {
  struct Shape {
    Eigen::Index tokens, n, p, chunk;
  };
  for (const Shape& s :
       {Shape{1, 4, 3, 16}, {2, 2, 1, 1}, {9, 4, 3, 1}, {100, 16, 24, 32}, {5, 4, 4, 64}, {256, 32, 48, 64}}) {
    const Mamba3Head<double> head = mamba3_head(s.tokens, s.n, s.p);
    const Matrix<double> expected = mamba3_complex(head);
    CHECK(rms_ratio(mamba3_recurrent(head), expected) < 1e-12);
    CHECK(rms_ratio(mamba3_chunked(head, s.chunk), expected) < 1e-12);
    CHECK(rms_ratio(mamba3_quadratic(head), expected) < 1e-12);
    CHECK(rms_ratio(mamba3_recurrent(cast<float>(head)), expected) < 5e-6);
    CHECK(rms_ratio(mamba3_chunked(cast<float>(head), s.chunk), expected) < 5e-6);
  }
  const Mamba3Head<double> head = mamba3_head(256, 32, 48);
  const double error = rms_ratio(mamba3_chunked(cast<float>(head), 64, Bf16Operands{}), mamba3_complex(head));
  CHECK(error < 1e-2);
  CHECK(error > 1e-4);
}

TEST_CASE("Mamba-3 without rotation and with lambda = 1 is Mamba-2") {
  Mamba3Head<double> head = mamba3_head(40, 6, 5);
  head.lambda.setOnes();
  head.angles.setZero();
  SsdInputs<double> in{head.v, head.delta, Vector<double>::Constant(1, -0.7), head.k, head.q, 1};
  head.a.setConstant(-0.7);
  CHECK(rms_ratio(mamba3_chunked(head, 16), ssd_chunked(in, 16).y) < 1e-12);
}

TEST_CASE("FLOPs of Mamba-3 at decode") {
  const std::uint64_t n = 6, p = 5;
  Mamba3State<Counted> state{Matrix<Counted>::Zero(6, 5), Matrix<Counted>::Zero(1, 6), Matrix<Counted>::Zero(1, 5)};
  SeededValues values(1);
  const Matrix<Counted> q = values.matrix(1, 6).cast<Counted>(), k = values.matrix(1, 6).cast<Counted>(),
                        v = values.matrix(1, 5).cast<Counted>();
  Counted::reset();
  (void)state.step(q, k, v, Counted(0.9), Counted(0.1), Counted(0.6));
  CHECK(Counted::counts().flops() == 7 * n * p + 2 * n + 3);
}
