// SPDX-License-Identifier: Apache-2.0
// The short causal convolution: whole, tiled with halo, step by step; gradients; FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/causal_conv1d.h"
#include "models/reference/counted.h"
#include "models/reference/finite_differences.h"

using namespace lightcone::models::reference;

namespace {

ShortFilter<double> filter(Eigen::Index channels, Eigen::Index width) {
  SeededValues values(std::uint64_t(width + 10));
  return {values.matrix(channels, width), values.vector(channels)};
}

}  // namespace

TEST_CASE("causal conv1d: tiles with a halo and single steps equal the whole, with and without a state before") {
  for (const Eigen::Index width : {2, 3, 4}) {
    for (const Eigen::Index tokens : {1, 2, 3, 50}) {
      SeededValues values{std::uint64_t(tokens)};
      const ShortFilter<double> f = filter(5, width);
      const Matrix<double> x = values.matrix(tokens, 5), state = values.matrix(width - 1, 5);
      for (const Matrix<double>& initial : {state, Matrix<double>()}) {
        const Matrix<double> expected = causal_conv1d(f, x, initial);
        for (const Eigen::Index tile : {1, 2, 16, 64})
          CHECK(rms_ratio(causal_conv1d_tiled(f, x, tile, initial), expected) < 1e-14);
        Matrix<double> running = initial.size() != 0 ? initial : Matrix<double>(Matrix<double>::Zero(width - 1, 5));
        for (Eigen::Index t = 0; t < tokens; ++t) {
          CHECK(rms_ratio(causal_conv1d_step(f, running, Matrix<double>(x.row(t))), expected.row(t)) < 1e-13);
        }
        const ShortFilter<float> single{f.weight.cast<float>(), f.bias.cast<float>()};
        CHECK(rms_ratio(causal_conv1d<float>(single, x.cast<float>(), initial.cast<float>()), expected) < 5e-6);
      }
    }
  }
}

TEST_CASE("causal conv1d: an impulse gives the filter backwards, and nothing before it") {
  ShortFilter<double> f = filter(1, 4);
  f.bias.setZero();
  Matrix<double> x = Matrix<double>::Zero(8, 1);
  x(2) = 1;
  const Matrix<double> y = causal_conv1d(f, x);
  CHECK(y(1) == 0);
  for (Eigen::Index j = 0; j < 4; ++j) CHECK(y(2 + j) == f.weight(0, 3 - j));
  CHECK(y(6) == 0);
}

TEST_CASE("causal conv1d: the state before equals earlier tokens") {
  const ShortFilter<double> f = filter(3, 4);
  const Matrix<double> x = SeededValues(3).matrix(20, 3);
  const Matrix<double> expected = causal_conv1d(f, x).bottomRows(12);
  CHECK(rms_ratio(causal_conv1d<double>(f, x.bottomRows(12), x.middleRows(5, 3)), expected) < 1e-14);
}

TEST_CASE("causal conv1d gradients equal finite differences") {
  for (const Eigen::Index tokens : {1, 2, 7}) {
    SeededValues values(8);
    ShortFilter<double> f = filter(2, 4);
    Matrix<double> x = values.matrix(tokens, 2), initial = values.matrix(3, 2);
    const Matrix<double> d_y = values.matrix(tokens, 2);
    const auto loss = [&] { return causal_conv1d(f, x, initial).cwiseProduct(d_y).sum(); };
    const ShortFilterGradients got = causal_conv1d_backward(f, x, initial, d_y);
    CHECK(rms_ratio(got.x, finite_differences(x, loss)) < 1e-9);
    CHECK(rms_ratio(got.initial, finite_differences(initial, loss)) < 1e-9);
    CHECK(rms_ratio(got.filter.weight, finite_differences(f.weight, loss)) < 1e-9);
    CHECK(rms_ratio(got.filter.bias, finite_differences(f.bias, loss)) < 1e-9);
  }
}

TEST_CASE(
    "FLOPs of causal conv1d: 2 w per element with a state before; less the taps that fall before the start without") {
  const ShortFilter<double> f = filter(5, 4);
  const ShortFilter<Counted> counted{f.weight.cast<Counted>(), f.bias.cast<Counted>()};
  const Matrix<Counted> x = SeededValues(1).matrix(20, 5).cast<Counted>();
  Counted::reset();
  (void)causal_conv1d(counted, x, Matrix<Counted>(Matrix<Counted>::Zero(3, 5)));
  CHECK(Counted::counts().flops() == 2 * 4 * 20 * 5);
  Counted::reset();
  (void)causal_conv1d(counted, x);
  CHECK(Counted::counts().flops() == 2 * (4 * 20 - 6) * 5);
}
