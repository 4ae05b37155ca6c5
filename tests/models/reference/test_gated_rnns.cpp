// SPDX-License-Identifier: Apache-2.0
// Elementwise recurrences: parallel scans equal the serial definitions (RG-LRU, LRU, minGRU); gradients; FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/counted.h"
#include "models/reference/finite_differences.h"
#include "models/reference/lru.h"
#include "models/reference/min_gru.h"
#include "models/reference/rg_lru.h"

using namespace lightcone::models::reference;

namespace {

struct Block {
  Eigen::Index tokens;
  std::size_t threads, per_thread;
};
// One token; blocks of one; one thread; one item each; not a multiple; a block longer than the sequence; many blocks.
const std::vector<Block> kBlocks{{1, 32, 4}, {9, 1, 1},     {50, 1, 16}, {50, 16, 1},
                                 {77, 8, 3}, {20, 128, 16}, {256, 8, 4}};

RgLruGates<double> rg_lru_inputs(Eigen::Index tokens, Eigen::Index d, Eigen::Index blocks,
                                 Matrix<double>* x = nullptr) {
  SeededValues values{std::uint64_t(tokens)};
  RgLruWeights w{values.matrix(d, d / blocks, 0.5), values.matrix(d, d / blocks, 0.5), values.vector(d),
                 values.vector(d), values.vector(d, 0.3)};
  w.lambda.array() -= 4;  // decays near one
  const Matrix<double> in = values.matrix(tokens, d);
  if (x != nullptr) *x = in;
  return rg_lru_gates(w, in);
}

}  // namespace

TEST_CASE("a block scan composes maps in order") {
  // Not commutative: h -> 2h + 1 then h -> 3h + 5.
  const ScanPair<double> both = then(ScanPair<double>{2, 1}, ScanPair<double>{3, 5});
  CHECK(both.a == 6);
  CHECK(both.b == 8);
}

TEST_CASE("parallel scans equal the serial recurrence, in double, float and complex") {
  for (const Block& s : kBlocks) {
    SeededValues values{std::uint64_t(s.tokens)};
    const Matrix<double> a = values.matrix(s.tokens, 3).unaryExpr([](double x) { return std::tanh(x); }),
                         b = values.matrix(s.tokens, 3);
    const Vector<double> initial = values.vector(3);
    const Matrix<double> expected = scan_serial(a, b, initial);
    CHECK(rms_ratio(scan_blocked(a, b, s.threads, s.per_thread, initial), expected) < 1e-12);
    CHECK(
        rms_ratio(scan_blocked<float>(a.cast<float>(), b.cast<float>(), s.threads, s.per_thread, initial.cast<float>()),
                  expected) < 5e-6);
    const Matrix<Complex> turning = a.cast<Complex>() * std::exp(Complex(0, 0.7)), in = b.cast<Complex>();
    const Matrix<Complex> difference = scan_blocked(turning, in, s.threads, s.per_thread) - scan_serial(turning, in);
    CHECK(difference.norm() < 1e-12 * scan_serial(turning, in).norm());
  }
}

TEST_CASE("scan gradients equal finite differences") {
  SeededValues values(4);
  Matrix<double> a = values.matrix(6, 2), b = values.matrix(6, 2);
  Vector<double> initial = values.vector(2);
  const Matrix<double> d_h = values.matrix(6, 2);
  const auto loss = [&] { return scan_serial(a, b, initial).cwiseProduct(d_h).sum(); };
  const ScanGradients got = scan_backward(a, scan_serial(a, b, initial), initial, d_h);
  CHECK(rms_ratio(got.a, finite_differences(a, loss)) < 1e-9);
  CHECK(rms_ratio(got.b, finite_differences(b, loss)) < 1e-9);
  CHECK(rms_ratio(got.initial, finite_differences(initial, loss)) < 1e-9);
}

TEST_CASE("RG-LRU: serial equals scan; fp32; the reset forgets nothing it should keep") {
  for (const Block& s : kBlocks) {
    const RgLruGates<double> gates = rg_lru_inputs(s.tokens, 8, 2);
    const Matrix<double> expected = rg_lru_serial(gates);
    CHECK(rms_ratio(rg_lru_scan(gates, s.threads, s.per_thread), expected) < 1e-12);
    const RgLruGates<float> single{gates.log_a.cast<float>(), gates.gated.cast<float>()};
    CHECK(rms_ratio(rg_lru_serial(single), expected) < 5e-6);
    CHECK(rms_ratio(rg_lru_scan(single, s.threads, s.per_thread), expected) < 5e-6);
    CHECK(rms_ratio(expected.row(0), gates.gated.row(0)) == 0);  // multiplier 1 at the first token
  }
}

TEST_CASE("RG-LRU: gates by the formula, element by element; blocks do not mix") {
  SeededValues values(6);
  const Eigen::Index d = 6, blocks = 2, width = 3;
  const RgLruWeights w{values.matrix(d, width), values.matrix(d, width), values.vector(d), values.vector(d),
                       values.vector(d)};
  const Matrix<double> x = values.matrix(4, d);
  const RgLruGates<double> got = rg_lru_gates(w, x);
  for (Eigen::Index t = 0; t < 4; ++t) {
    for (Eigen::Index n = 0; n < d; ++n) {
      double r = w.recurrence_bias(n), i = w.input_bias(n);
      for (Eigen::Index m = n / width * width; m < (n / width + 1) * width; ++m) {
        r += x(t, m) * w.recurrence_gate(m, n % width);
        i += x(t, m) * w.input_gate(m, n % width);
      }
      CHECK(got.log_a(t, n) == Approx(-8 / (1 + std::exp(-r)) * std::log1p(std::exp(w.lambda(n)))).epsilon(1e-12));
      CHECK(got.gated(t, n) == Approx(x(t, n) / (1 + std::exp(-i))).epsilon(1e-12));
    }
  }
  CHECK(blocks * width == d);
}

TEST_CASE("RG-LRU gradients equal finite differences") {
  RgLruGates<double> gates = rg_lru_inputs(7, 4, 2);
  const Matrix<double> d_h = SeededValues(5).matrix(7, 4);
  const auto loss = [&] { return rg_lru_serial(gates).cwiseProduct(d_h).sum(); };
  const RgLruGates<double> got = rg_lru_backward(gates, d_h);
  CHECK(rms_ratio(got.gated, finite_differences(gates.gated, loss, 1e-4)) < 1e-9);
  CHECK(rms_ratio(got.log_a, finite_differences(gates.log_a, loss, 1e-4)) < 1e-7);
}

TEST_CASE("LRU: serial equals scan equals powers written out") {
  for (const Block& s : kBlocks) {
    SeededValues values{std::uint64_t(s.tokens)};
    const Matrix<Complex> b = values.matrix(6, 4).cast<Complex>() + Complex(0, 1) * values.matrix(6, 4).cast<Complex>();
    const Matrix<Complex> c = values.matrix(4, 6).cast<Complex>() + Complex(0, 1) * values.matrix(4, 6).cast<Complex>();
    Vector<double> nu = values.vector(6, 0.5);
    nu.array() -= 2;
    const DiagonalSystem system = lru(nu, values.vector(6), b, c, values.vector(4));
    const Matrix<double> x = values.matrix(s.tokens, 4), expected = diagonal_system_serial(system, x);
    CHECK(rms_ratio(diagonal_system_scan(system, x, s.threads, s.per_thread), expected) < 1e-12);
    CHECK(rms_ratio(diagonal_system_quadratic(system, x), expected) < 1e-12);
    CHECK(system.lambda.cwiseAbs().maxCoeff() < 1);
  }
}

TEST_CASE("LRU: gamma keeps the variance of white noise through a slow unit") {
  SeededValues values(12);
  const DiagonalSystem slow = lru(Vector<double>::Constant(1, -5), Vector<double>::Constant(1, 0.3),
                                  Matrix<Complex>::Ones(1, 1), Matrix<Complex>::Ones(1, 1), Vector<double>::Zero(1));
  const Matrix<double> y = diagonal_system_serial(slow, values.matrix(100000, 1));
  // The real part holds half of the complex state's unit variance; correlated over 1/(1-|lambda|) = 150 tokens.
  CHECK(y.squaredNorm() / 100000 == Approx(0.5).epsilon(0.2));
}

TEST_CASE("minGRU: serial equals scan equals log space; fp32") {
  for (const Block& s : kBlocks) {
    SeededValues values{std::uint64_t(s.tokens)};
    const MinGruInputs<double> in{values.matrix(s.tokens, 4), values.matrix(s.tokens, 4).cwiseAbs()};
    const Vector<double> initial = values.vector(4).cwiseAbs();
    const Matrix<double> expected = min_gru_serial(in, initial);
    CHECK(rms_ratio(min_gru_scan(in, initial, s.threads, s.per_thread), expected) < 1e-12);
    CHECK(rms_ratio(min_gru_log_space(in, initial), expected) < 1e-12);
    const MinGruInputs<float> single{in.z.cast<float>(), in.h.cast<float>()};
    CHECK(rms_ratio(min_gru_serial<float>(single, initial.cast<float>()), expected) < 5e-6);
    CHECK(rms_ratio(min_gru_scan<float>(single, initial.cast<float>(), s.threads, s.per_thread), expected) < 5e-6);
  }
}

TEST_CASE("FLOPs of scans") {
  const RgLruGates<double> gates = rg_lru_inputs(10, 8, 2);
  const RgLruGates<Counted> counted{gates.log_a.cast<Counted>(), gates.gated.cast<Counted>()};
  Counted::reset();
  (void)rg_lru_serial(counted);
  const std::uint64_t elements = 10 * 8;
  // 3 D to scan; the coefficients beside it: 2 log a, 1 - e^{2 log a}, and three transcendental functions.
  CHECK(Counted::counts().flops() == 3 * elements + 2 * elements);
  CHECK(Counted::counts().specials == 3 * elements);
  Counted::reset();
  (void)block_diagonal_product(Matrix<Counted>(gates.gated.cast<Counted>()),
                               Matrix<Counted>(SeededValues(1).matrix(8, 4).cast<Counted>()));
  CHECK(Counted::counts().flops() == 10 * 2 * 8 * 8 / 2);
  // A block scan of 8 threads with 4 items: 24 combinations to reduce, 7 + 6 + 4 across threads, 7 + 32 to apply, and
  // one for the running prefix; 3 FLOP each.
  std::vector<ScanPair<Counted>> items(32, {Counted(0.5), Counted(1)});
  ScanPair<Counted> prefix{Counted(1), Counted(0)};
  Counted::reset();
  block_scan(items, 4, prefix);
  CHECK(Counted::counts().flops() == 3 * (24 + 17 + 7 + 32 + 1));
}
