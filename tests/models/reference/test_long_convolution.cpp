// SPDX-License-Identifier: Apache-2.0
// S4, S4D, S5, H3 and Hyena: FFT convolution == direct == recurrence; the Cauchy kernel == powers; gradients; FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/fft_convolution.h"
#include "models/reference/finite_differences.h"
#include "models/reference/gated_convolutions.h"
#include "models/reference/s4.h"

using namespace lightcone::models::reference;

namespace {

// An output vector whose kernel is real: V* c with c real.
Vector<Complex> real_output(const DiagonalisedLegS& legs, std::uint64_t seed) {
  return legs.v.adjoint() * SeededValues(seed).vector(legs.v.rows()).cast<Complex>();
}

Dplr<float> single(const Dplr<double>& s) {
  using Value = std::complex<float>;
  return {s.lambda.cast<Value>(), s.p.cast<Value>(), s.b.cast<Value>()};
}

S4dChannel s4d_channel(std::uint64_t seed, const Vector<Complex>& lambda) {
  SeededValues values(seed);
  const Eigen::Index half = lambda.size();
  const auto complex = [&] {
    return Vector<Complex>(values.vector(half).cast<Complex>() + Complex(0, 1) * values.vector(half).cast<Complex>());
  };
  return {lambda, Vector<Complex>::Ones(half), complex(), 0.05};
}

}  // namespace

TEST_CASE("FFT convolution padded to 2 L equals the direct sum; unpadded it does not") {
  for (const Eigen::Index length : {1, 2, 7, 64, 100, 1024}) {
    SeededValues values{std::uint64_t(length)};
    const Vector<double> u = values.vector(length), kernel = values.vector(length);
    const Vector<double> expected = direct_convolution(u, kernel);
    CHECK(rms_ratio(fft_convolution(u, kernel), expected) < 1e-12);
    CHECK(rms_ratio(fft_convolution<float>(u.cast<float>(), kernel.cast<float>()), expected) < 5e-6);
    if (length > 2) CHECK(rms_ratio(fft_convolution(u, kernel, length), expected) > 0.1);
  }
}

TEST_CASE("FFT convolution gradients equal finite differences") {
  for (const Eigen::Index length : {1, 2, 7}) {
    SeededValues values(3);
    Vector<double> u = values.vector(length), kernel = values.vector(length);
    const Vector<double> d_y = values.vector(length);
    const auto loss = [&] { return fft_convolution(u, kernel).dot(d_y); };
    const ConvolutionGradients got = fft_convolution_backward(u, kernel, d_y);
    CHECK(rms_ratio(got.u, finite_differences(u, loss)) < 1e-9);
    CHECK(rms_ratio(got.kernel, finite_differences(kernel, loss)) < 1e-9);
  }
}

TEST_CASE("FLOPs of a real FFT: between split radix and 2.5 n log2 n, the convention") {
  for (const Eigen::Index size : {256, 4096, 65536}) {
    const double n = double(size), log = std::log2(n);
    CHECK(real_fft_flops(size) <= 2.5 * n * log);
    CHECK(real_fft_flops(size) >= 0.99 * (2 * n * log - 4 * n + 6));
  }
}

TEST_CASE("HiPPO-LegS is a normal matrix less a rank-one term") {
  for (const Eigen::Index n : {1, 2, 16, 64}) {
    const LegS legs = hippo_legs(n);
    const DiagonalisedLegS d = diagonalised_legs(n);
    Matrix<Complex> inner = -d.system.p * d.system.p.adjoint();
    inner.diagonal() += d.system.lambda;
    const Matrix<Complex> a = d.v * inner * d.v.adjoint();
    CHECK((a - legs.a.cast<Complex>()).norm() < 1e-12 * legs.a.norm());
    CHECK((d.v * d.system.b - legs.b.cast<Complex>()).norm() < 1e-12 * legs.b.norm());
    CHECK((d.system.lambda.real().array() + 0.5).abs().maxCoeff() < 1e-12);
  }
  CHECK(hippo_legs(3).a(2, 1) == Approx(-std::sqrt(15.0)));
  CHECK(hippo_legs(3).a(1, 1) == -2);
  CHECK(hippo_legs(3).a(1, 2) == 0);
}

TEST_CASE("S4: the Cauchy kernel equals powers of the matrix, the limit at z = -1 included") {
  for (const Eigen::Index n : {2, 16, 64}) {
    const DiagonalisedLegS legs = diagonalised_legs(n);
    for (const Eigen::Index length : {1, 2, 7, 100, 1024}) {
      const double dt = 1.0 / 64;
      const DiscreteSystem discrete = bilinear(legs.system, dt);
      const Vector<Complex> c = real_output(legs, 5), truncated = truncated_output(discrete, c, length);
      const Vector<double> expected = s4_kernel_by_powers(discrete, c, length);
      CHECK(rms_ratio(s4_kernel_by_cauchy(legs.system, dt, truncated, length), expected) < 1e-12);
      const Vector<std::complex<float>> truncated_float = truncated.cast<std::complex<float>>();
      CHECK(rms_ratio(s4_kernel_by_cauchy(single(legs.system), float(dt), truncated_float, length), expected) < 5e-5);
      // The limit is C~* (I + A_)^{-1} B_.
      const Matrix<Complex> sum = discrete.a + Matrix<Complex>::Identity(n, n);
      const Complex limit = truncated.dot(Vector<Complex>(sum.partialPivLu().solve(discrete.b)));
      CHECK(std::abs(limit - dt / 2 * truncated.dot(legs.system.b)) < 1e-11 * std::abs(limit));
    }
  }
}

TEST_CASE("S4: convolution equals the dense recurrence equals the O(N) recurrence") {
  const DiagonalisedLegS legs = diagonalised_legs(64);
  for (const Eigen::Index length : {1, 33, 1024}) {
    const double dt = 1.0 / 128;
    const DiscreteSystem discrete = bilinear(legs.system, dt);
    const Vector<Complex> c = real_output(legs, 6);
    const Vector<double> u = SeededValues(7).vector(length), expected = s4_dense_recurrence(discrete, c, u);
    CHECK(rms_ratio(s4_dplr_recurrence(legs.system, dt, c, u), expected) < 1e-12);
    const Vector<Complex> truncated = truncated_output(discrete, c, length);
    const Vector<double> kernel = s4_kernel_by_cauchy(legs.system, dt, truncated, length);
    CHECK(rms_ratio(fft_convolution(u, kernel), expected) < 1e-12);
    const Vector<float> kernel_float = s4_kernel_by_cauchy(
        single(legs.system), float(dt), Vector<std::complex<float>>(truncated.cast<std::complex<float>>()), length);
    CHECK(rms_ratio(fft_convolution<float>(u.cast<float>(), kernel_float), expected) < 5e-5);
  }
}

TEST_CASE("S4D: the Vandermonde kernel convolves as the recurrence runs") {
  for (const Vector<Complex>& lambda : {s4d_lin(32), s4d_inv(32), s4d_lin(1)}) {
    const S4dChannel channel = s4d_channel(9, lambda);
    for (const Eigen::Index length : {1, 50, 512}) {
      const Vector<double> u = SeededValues(2).vector(length), expected = s4d_recurrence(channel, u);
      const Vector<double> kernel = s4d_kernel(channel, length);
      CHECK(rms_ratio(fft_convolution(u, kernel), expected) < 1e-12);
      CHECK(rms_ratio(fft_convolution<float>(u.cast<float>(), kernel.cast<float>()), expected) < 5e-6);
    }
  }
  CHECK(s4d_lin(3)(2).imag() == Approx(2 * 3.141592653589793));
  CHECK(s4d_inv(2)(0).imag() == Approx(4 / 3.141592653589793 * 3));
}

TEST_CASE("S5: serial equals scan; one input and output are S4D") {
  SeededValues values(4);
  const auto complex = [&](Eigen::Index r, Eigen::Index c) {
    return Matrix<Complex>(values.matrix(r, c).cast<Complex>() + Complex(0, 1) * values.matrix(r, c).cast<Complex>());
  };
  for (const Eigen::Index length : {1, 77}) {
    const DiagonalSystem system =
        s5(s4d_lin(8), Vector<double>::Constant(8, 0.05), complex(8, 3), complex(3, 8), values.vector(3));
    const Matrix<double> x = values.matrix(length, 3);
    CHECK(rms_ratio(diagonal_system_scan(system, x, 8, 3), diagonal_system_serial(system, x)) < 1e-12);
  }
  const S4dChannel channel = s4d_channel(9, s4d_lin(8));
  const DiagonalSystem one = s5(channel.lambda, Vector<double>::Constant(8, channel.dt), channel.b,
                                2 * channel.c.transpose(), Vector<double>::Zero(1));
  const Matrix<double> u = values.matrix(60, 1);
  CHECK(rms_ratio(diagonal_system_scan(one, u, 8, 3), s4d_recurrence(channel, u.col(0))) < 1e-12);
}

TEST_CASE("H3: FFT equals direct equals the recurrence") {
  for (const Eigen::Index length : {1, 3, 100}) {
    SeededValues values{std::uint64_t(length)};
    H3Inputs in{values.matrix(length, 3),
                values.matrix(length, 3),
                values.matrix(length, 3),
                {values.matrix(3, 4), values.vector(3)},
                {}};
    for (std::uint64_t d = 0; d < 3; ++d) in.diagonal.push_back(s4d_channel(d + 1, s4d_lin(32)));
    const Matrix<double> expected = h3_recurrent(in);
    CHECK(rms_ratio(h3(in, &fft_convolution_columns), expected) < 1e-12);
    CHECK(rms_ratio(h3(in, &direct_convolution_columns), expected) < 1e-12);
  }
}

TEST_CASE("Hyena: FFT equals the matrix it stands for, diag(x0) Toeplitz(h) diag(x1)") {
  for (const Eigen::Index length : {1, 5, 64}) {
    SeededValues values{std::uint64_t(length)};
    const HyenaInputs in{values.matrix(length, 3), values.matrix(length, 3), values.matrix(length, 3)};
    const HyenaFilterWeights weights{values.matrix(33, 16, 0.3), values.matrix(16, 3), values.vector(3).cwiseAbs(), 10};
    const Matrix<double> h = hyena_filters(weights, length), got = hyena(in, h, &fft_convolution_columns);
    for (Eigen::Index d = 0; d < 3; ++d) {
      Matrix<double> toeplitz = Matrix<double>::Zero(length, length);
      for (Eigen::Index t = 0; t < length; ++t) {
        for (Eigen::Index s = 0; s <= t; ++s) toeplitz(t, s) = h(t - s, d);
      }
      const Vector<double> expected = in.x0.col(d).asDiagonal() * toeplitz * in.x1.col(d).asDiagonal() * in.v.col(d);
      CHECK(rms_ratio(got.col(d), expected) < 1e-12);
    }
    CHECK(rms_ratio(hyena(in, h, &direct_convolution_columns), got) < 1e-12);
  }
}
