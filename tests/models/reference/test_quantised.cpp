// SPDX-License-Identifier: Apache-2.0
// Narrow formats: exact grids, error bounds, storage, and quantised GEMM against the GEMM of the dequantised operands.
#include "models/reference/quantised.h"

#include <set>

#include "catch.h"
#include "sim/base/number_format.h"

using namespace lightcone::models::reference;
using Eigen::Index;

namespace {

Matrix<float> values(Index rows, Index columns, std::uint64_t seed = 1, double scale = 1) {
  return SeededValues(seed).matrix(rows, columns, scale).cast<float>();
}

// All finite values of a format, ascending, by decoding every code.
std::vector<float> grid_of(const MiniFloat& format, unsigned codes) {
  std::set<float> grid;
  for (unsigned code = 0; code < codes; ++code) {
    const float value = decode(format, static_cast<std::uint8_t>(code));
    if (std::abs(value) <= format.largest) grid.insert(value);
  }
  return {grid.begin(), grid.end()};
}

// The nearest grid value by search; of two equally near the one whose code is even.
float nearest(const MiniFloat& format, const std::vector<float>& grid, float x) {
  float best = grid[0];
  for (const float g : grid) {
    const double closer = std::abs(double{x} - double{g}), so_far = std::abs(double{x} - double{best});
    if (closer < so_far || (closer == so_far && encode(format, g) % 2 == 0)) best = g;
  }
  return best;
}

}  // namespace

TEST_CASE("the grids are those of the standards") {
  CHECK(grid_of(kE2m1, 16) == std::vector<float>{-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6});
  const std::vector<float> e4m3 = grid_of(kE4m3, 256);
  CHECK(e4m3.size() == 253);  // 256 codes less two NaN and the second zero
  CHECK(e4m3.back() == 448);
  CHECK(e4m3[127] == std::ldexp(1.0F, -9));  // the smallest subnormal
  const std::vector<float> e5m2 = grid_of(kE5m2, 256);
  CHECK(e5m2.size() == 247);  // less 2 infinities, 6 NaN, the second zero
  CHECK(e5m2.back() == 57344);
  CHECK(decode(kE4m3, 0x38) == 1);
  CHECK(decode(kE4m3, 0x7E) == 448);
  CHECK(decode(kE5m2, 0x3C) == 1);
  CHECK(decode_e8m0(127) == 1);
  CHECK(decode_e8m0(0) == std::ldexp(1.0F, -127));
  for (unsigned code = 0; code < 255; ++code) {
    CHECK(encode_e8m0(decode_e8m0(static_cast<std::uint8_t>(code))) == code);
  }
}

TEST_CASE("every code survives decoding and encoding, and rounding finds the nearest value") {
  for (const auto& [format, codes] : {std::pair{kE4m3, 256u}, std::pair{kE5m2, 256u}, std::pair{kE2m1, 16u}}) {
    for (unsigned code = 0; code < codes; ++code) {
      const float value = decode(format, static_cast<std::uint8_t>(code));
      if (std::abs(value) <= format.largest) CHECK(encode(format, value) == code);
    }
    const std::vector<float> grid = grid_of(format, codes);
    SeededValues seeded(2);
    std::vector<float> samples = {0, 1e9F, -1e9F, 1e-9F};
    for (std::size_t n = 1; n < grid.size(); ++n) samples.push_back((grid[n - 1] + grid[n]) / 2);  // ties
    for (int n = 0; n < 300; ++n) {
      samples.push_back(static_cast<float>(seeded.next() * std::exp(3 * seeded.next())));
    }
    for (const float x : samples) {
      CAPTURE(format.largest, x);
      CHECK(round_to_grid(format, x) == nearest(format, grid, x));
    }
  }
}

TEST_CASE("quantisation errs by at most half a step of its grid, in units of the scale") {
  const Matrix<float> x = values(40, 300, 3, 5);
  const auto check = [&](const Quantised& q, double relative, double absolute) {
    // |x - x^| <= max(relative |x|, absolute scale)
    const Matrix<double> back = dequantised(q);
    double worst = 0;
    for (Index i = 0; i < x.rows(); ++i) {
      for (Index j = 0; j < x.cols(); ++j) {
        const double value = static_cast<double>(x(i, j)), error = std::abs(back(i, j) - value);
        worst = std::max(worst,
                         error / std::max(relative * std::abs(value), absolute * static_cast<double>(q.scale(i, j))));
      }
    }
    CHECK(worst <= 1 + 1e-5);
    CHECK(worst > 0.8);  // the bound is met
  };
  for (const Scheme& s : {kInt8PerToken, kInt8PerChannel, kInt4Group128}) check(quantise(x, s), 0, 0.5);
  // E4M3: half a step is 2^-4 of the value, or 2^-10 scales among the subnormals.
  for (const Scheme& s : {kFp8Tensor, kFp8Activation, kFp8ActivationUe8m0, kFp8Weight}) {
    check(quantise(x, s), 1.0 / 16, 1.0 / 1024);
  }
  // E2M1: a quarter of the value, or a quarter scale below 1; saturation stays within a quarter of the value too.
  for (const Scheme& s : {kMxfp4Activation, kMxfp4Weight}) check(quantise(x, s), 0.25, 0.25);
  for (const ScaleBlock block : {kNvfp4Activation, kNvfp4Weight}) check(quantise_nvfp4(x, block), 0.25, 0.25);
}

TEST_CASE("codes lie on the grid, scales are what the scheme says") {
  const Matrix<float> x = values(130, 260, 4, 3);
  const auto on_grid = [](const Quantised& q, Element element) {
    return q.codes == Matrix<float>(q.codes.unaryExpr([&](float v) { return round_element(element, v); }));
  };
  const auto power_of_two = [](float s) { return s == std::ldexp(1.0F, std::ilogb(s)); };
  for (const Scheme& s : {kInt8PerToken, kInt8PerChannel, kInt4Group128, kFp8Tensor, kFp8Activation,
                          kFp8ActivationUe8m0, kFp8Weight, kMxfp4Activation, kMxfp4Weight}) {
    const Quantised q = quantise(x, s);
    CHECK(on_grid(q, s.element));
    CHECK(q.scales.unaryExpr(power_of_two).all() == (s.scale != ScaleKind::fp32));
    // The largest value of every block uses the grid: all of it with an exact scale, at least half with powers of two.
    const float least = s.scale == ScaleKind::fp32 ? 0.93F : 0.5F;
    CHECK(q.codes.cwiseAbs().maxCoeff() >= least * largest_of(s.element));
  }
  CHECK(quantise(x, kFp8Tensor).scales.size() == 1);
  CHECK(quantise(x, kFp8Activation).scales.cols() == 3);
  CHECK(quantise(x, kFp8Weight).scales.rows() == 2);
  CHECK(quantise(x, kInt8PerToken).scales.rows() == 130);
  CHECK(quantise(x, kInt8PerChannel).scales.cols() == 260);
  // DeepSeek rounds its power-of-two scales up, so nothing saturates; MX rounds down, so the largest may.
  const Quantised up = quantise(x, kFp8ActivationUe8m0), exact = quantise(x, kFp8Activation);
  CHECK((up.scales.array() >= exact.scales.array()).all());
  CHECK((up.scales.array() < 2 * exact.scales.array()).all());
  Matrix<float> seven(1, 32);
  seven.setConstant(7);
  CHECK(quantise(seven, kMxfp4Activation).scales(0, 0) == 1);
  CHECK(dequantised(quantise(seven, kMxfp4Activation))(0, 0) == 6);
}

TEST_CASE("blocks of zeros and single values come back exactly") {
  for (const Scheme& s : {kInt8PerToken, kFp8Tensor, kFp8Activation, kMxfp4Activation}) {
    CHECK(dequantised(quantise(Matrix<float>::Zero(3, 200), s)).isZero(0));
    CHECK(dequantised(quantise(Matrix<float>::Constant(1, 1, 3), s))(0, 0) == Approx(3));
  }
  CHECK(dequantised(quantise_nvfp4(Matrix<float>::Zero(3, 40), kNvfp4Activation)).isZero(0));
  CHECK(quantise(Matrix<float>::Zero(1, 128), kFp8Activation).scales(0, 0) == 1e-4F / 448);
}

TEST_CASE("int4 as Marlin: scale = 2 largest / 15, codes -8 to 7") {
  const Quantised q = quantise(Matrix<float>{{15}, {-15}, {3}}, kInt4Group128);
  CHECK(q.scales(0, 0) == 2);
  CHECK(q.codes == Matrix<float>{{7}, {-8}, {2}});  // 7.5 -> 8 -> 7, -7.5 -> -8, 1.5 -> 2
}

TEST_CASE("NVFP4's block scales are E4M3 values times the scale of the tensor") {
  const Matrix<float> x = values(20, 64, 5, 3);
  const Quantised q = quantise_nvfp4(x, kNvfp4Activation);
  const float tensor = x.cwiseAbs().maxCoeff() / (6 * 448);
  for (Index i = 0; i < q.scales.size(); ++i) {
    const float block = q.scales.data()[i] / tensor;
    CHECK(block == Approx(round_to_grid(kE4m3, block)).epsilon(1e-6));
  }
  CHECK((q.scales / tensor).maxCoeff() == Approx(448));
}

TEST_CASE("bits per element with scales are those of the formats") {
  const auto bits = [](const Quantised& q, double element, double scale) {
    return element + scale * static_cast<double>(q.scales.size()) / static_cast<double>(q.codes.size());
  };
  const Matrix<float> x = values(256, 256, 6);
  CHECK(bits(quantise(x, kInt4Group128), 4, 16) == 4.125);
  CHECK(bits(quantise(x, kFp8Activation), 8, 32) == 8.25);
  CHECK(bits(quantise(x, kFp8Weight), 8, 32) == Approx(8.002).epsilon(1e-4));
  CHECK(bits(quantise(x, kInt8PerChannel), 8, 16) == 8 + 16.0 / 256);
  const auto stored = [](lightcone::NumberFormat format) {
    return lightcone::storage(format, 65536).real() * 8 / 65536;
  };
  CHECK(bits(quantise(x, kMxfp4Weight), 4, 8) == stored(lightcone::NumberFormat::mxfp4));
  CHECK(bits(quantise_nvfp4(x, kNvfp4Weight), 4, 8) == stored(lightcone::NumberFormat::nvfp4));
}

TEST_CASE("a quantised GEMM is the GEMM of its dequantised operands") {
  struct Case {
    const char* name;
    Quantised a, w;
    Index step;
    double largest_error;  // against the exact product: the cost of the format
  };
  for (const auto& [m, k, n] : std::vector<std::array<Index, 3>>{{1, 1, 1}, {1, 256, 7}, {9, 300, 150}}) {
    const Matrix<float> a = values(m, k, 7), w = values(k, n, 8);
    const Matrix<double> exact = a.cast<double>() * w.cast<double>();
    const Quantised plain{a, Matrix<float>::Ones(1, 1), m, k};
    for (const Case& c : std::vector<Case>{
             {"w4a16", plain, quantise(w, kInt4Group128), 128, 0.2},
             {"fp8 tensor", quantise(a, kFp8Tensor), quantise(w, kFp8Tensor), k, 0.08},
             {"fp8 block", quantise(a, kFp8Activation), quantise(w, kFp8Weight), 128, 0.08},
             {"fp8 block ue8m0", quantise(a, kFp8ActivationUe8m0), quantise(w, kFp8Weight), 128, 0.08},
             {"mxfp4", quantise(a, kMxfp4Activation), quantise(w, kMxfp4Weight), 32, 0.35},
             {"nvfp4", quantise_nvfp4(a, kNvfp4Activation), quantise_nvfp4(w, kNvfp4Weight), 16, 0.25},
         }) {
      CAPTURE(c.name, m, k, n);
      const Matrix<float> got = block_scaled_gemm(c.a, c.w, c.step);
      const Matrix<double> expected = dequantised(c.a) * dequantised(c.w);
      CHECK(rms_ratio(got, expected) < 5e-6);
      if (k == 1) continue;
      CHECK(rms_ratio(got, exact) < c.largest_error);
      CHECK(rms_ratio(got, exact) > c.largest_error / 5);
    }
    const Quantised a8 = quantise(a, kInt8PerToken), w8 = quantise(w, kInt8PerChannel);
    CHECK(rms_ratio(int8_gemm(a8, w8), Matrix<double>(dequantised(a8) * dequantised(w8))) < 1e-6);
    if (k > 1) CHECK(rms_ratio(int8_gemm(a8, w8), exact) < 0.02);
  }
}

TEST_CASE("finer scales help where magnitudes differ: 1x128 against one scale for the tensor") {
  Matrix<float> a = values(4, 512, 9);
  a.leftCols(256) *= 1e-5F;  // below the subnormals of E4M3 at the scale of the rest
  const Matrix<float> w = values(512, 16, 10);
  const Matrix<float> left = a.leftCols(256);
  const auto error = [&](const Scheme& s) {
    return rms_ratio(dequantised(quantise(a, s)).leftCols(256), left.cast<double>());
  };
  CHECK(error(kFp8Activation) < 0.04);
  CHECK(error(kFp8Tensor) > 0.3);
}

TEST_CASE("two-level accumulation removes the error of a narrow accumulator") {
  const Index depth = 4096;
  const Quantised a = quantise(values(4, depth, 11).cwiseAbs(), kFp8Tensor);
  const Quantised w = quantise(values(depth, 8, 12).cwiseAbs(), kFp8Tensor);
  const Matrix<double> expected = dequantised(a) * dequantised(w);
  const double one_level = rms_ratio(block_scaled_gemm(a, w, depth, 13), expected);
  const double two_levels = rms_ratio(block_scaled_gemm(a, w, 128, 13), expected);
  CHECK(one_level > 0.01);  // DeepSeek-V3 reports nearly 2 % at K = 4096
  CHECK(two_levels < one_level / 10);
  CHECK(rms_ratio(block_scaled_gemm(a, w, depth), expected) < 5e-6 * 10);  // 4096 fp32 additions in a row
}
