// SPDX-License-Identifier: Apache-2.0
// Matrices in narrow formats with a scale per block, as the inference kernels keep them, and the GEMM that multiplies
// codes and applies the scales to partial sums. Schemes: int8 per token and channel (W8A8), int4 with groups of 128
// (Marlin), fp8 E4M3 per tensor, 1x128 and 128x128 (DeepSeek-V3, kernel.py), MXFP4 (OCP microscaling 1.0), NVFP4.
// Symmetric only: no zero points.
#pragma once

#include <limits>
#include <stdexcept>

#include "models/reference/matrix.h"
#include "models/reference/number_grid.h"

namespace lightcone::models::reference {

enum class Element { int8, int4, e4m3, e2m1 };

enum class ScaleKind {
  fp32,         // largest absolute value of the block / largest of the grid
  power_up,     // that, rounded up to a power of two (DeepSeek's ue8m0): nothing saturates
  power_floor,  // 2^(floor(log2 of the largest) - exponent of the grid's largest) (OCP MX): the largest may saturate
};

// Rows x columns of elements that share a scale; 0: the whole extent.
struct ScaleBlock {
  Eigen::Index rows = 0, columns = 0;
};

struct Scheme {
  Element element;
  ScaleBlock block;
  ScaleKind scale = ScaleKind::fp32;
  float floor = 0;  // of the largest absolute value, against blocks of zeros (DeepSeek 1e-4)
};

// Activations A[M, K] and weights W[K, N].
inline constexpr Scheme kInt8PerToken{Element::int8, {1, 0}};
inline constexpr Scheme kInt8PerChannel{Element::int8, {0, 1}};
inline constexpr Scheme kInt4Group128{Element::int4, {128, 1}};
inline constexpr Scheme kFp8Tensor{Element::e4m3, {0, 0}};
inline constexpr Scheme kFp8Activation{Element::e4m3, {1, 128}, ScaleKind::fp32, 1e-4F};
inline constexpr Scheme kFp8ActivationUe8m0{Element::e4m3, {1, 128}, ScaleKind::power_up, 1e-4F};
inline constexpr Scheme kFp8Weight{Element::e4m3, {128, 128}};
inline constexpr Scheme kMxfp4Activation{Element::e2m1, {1, 32}, ScaleKind::power_floor};
inline constexpr Scheme kMxfp4Weight{Element::e2m1, {32, 1}, ScaleKind::power_floor};
inline constexpr ScaleBlock kNvfp4Activation{1, 16}, kNvfp4Weight{16, 1};

struct Quantised {
  Matrix<float> codes;   // values of the grid
  Matrix<float> scales;  // one per block
  Eigen::Index block_rows = 1, block_columns = 1;
  [[nodiscard]] float scale(Eigen::Index i, Eigen::Index j) const { return scales(i / block_rows, j / block_columns); }
};

inline float largest_of(Element element) {
  switch (element) {
    case Element::int8:
      return 127;
    case Element::int4:
      return 7.5F;  // Marlin: scale = 2 largest / 15, codes -8 .. 7
    case Element::e4m3:
      return kE4m3.largest;
    case Element::e2m1:
      return kE2m1.largest;
  }
  throw std::logic_error("element");
}

inline float round_element(Element element, float value) {
  switch (element) {
    case Element::int8:
      return std::clamp(std::nearbyint(value), -127.0F, 127.0F);
    case Element::int4:
      return std::clamp(std::nearbyint(value), -8.0F, 7.0F);
    case Element::e4m3:
      return round_to_grid(kE4m3, value);
    case Element::e2m1:
      return round_to_grid(kE2m1, value);
  }
  throw std::logic_error("element");
}

// The scale of a block from its largest absolute value; 1 for a block of zeros.
inline float block_scale(const Scheme& scheme, float largest) {
  largest = std::max(largest, scheme.floor);
  if (largest == 0) return 1;
  const float exact = largest / largest_of(scheme.element);
  switch (scheme.scale) {
    case ScaleKind::fp32:
      return exact;
    case ScaleKind::power_up: {
      const float below = std::ldexp(1.0F, std::ilogb(exact));
      return below < exact ? 2 * below : below;
    }
    case ScaleKind::power_floor:
      return std::ldexp(1.0F, std::ilogb(largest) - std::ilogb(largest_of(scheme.element)));
  }
  throw std::logic_error("scale kind");
}

// Visits the blocks of x: each(block row, block column, the block).
template <class Each>
Quantised by_blocks(const Matrix<float>& x, ScaleBlock block, const Each& each) {
  const Eigen::Index rows = block.rows == 0 ? x.rows() : block.rows,
                     columns = block.columns == 0 ? x.cols() : block.columns;
  Quantised q{Matrix<float>(x.rows(), x.cols()),
              Matrix<float>((x.rows() + rows - 1) / rows, (x.cols() + columns - 1) / columns), rows, columns};
  for (Eigen::Index i = 0; i < x.rows(); i += rows) {
    for (Eigen::Index j = 0; j < x.cols(); j += columns) {
      const Eigen::Index h = std::min(rows, x.rows() - i), w = std::min(columns, x.cols() - j);
      float& scale = q.scales(i / rows, j / columns);
      q.codes.block(i, j, h, w) = each(Matrix<float>(x.block(i, j, h, w)), scale);
    }
  }
  return q;
}

inline Quantised quantise(const Matrix<float>& x, const Scheme& scheme) {
  return by_blocks(x, scheme.block, [&](const Matrix<float>& values, float& scale) -> Matrix<float> {
    scale = block_scale(scheme, values.cwiseAbs().maxCoeff());
    return values.unaryExpr([&](float v) { return round_element(scheme.element, v / scale); });
  });
}

// NVFP4 (NVIDIA Blackwell): blocks of 16 E2M1 values with an E4M3 scale each, and one fp32 scale of the tensor,
// largest / (6 x 448), so that the block scales use the range of E4M3. The scales returned are the products of both.
inline Quantised quantise_nvfp4(const Matrix<float>& x, ScaleBlock block) {
  const float largest = x.cwiseAbs().maxCoeff();
  const float tensor = largest == 0 ? 1 : largest / (kE2m1.largest * kE4m3.largest);
  return by_blocks(x, block, [&](const Matrix<float>& values, float& scale) -> Matrix<float> {
    scale = tensor * round_to_grid(kE4m3, values.cwiseAbs().maxCoeff() / kE2m1.largest / tensor);
    if (scale == 0) return Matrix<float>::Zero(values.rows(), values.cols());
    return values.unaryExpr([&](float v) { return round_to_grid(kE2m1, v / scale); });
  });
}

inline Matrix<double> dequantised(const Quantised& q) {
  return Matrix<double>::NullaryExpr(q.codes.rows(), q.codes.cols(), [&](Eigen::Index i, Eigen::Index j) {
    return static_cast<double>(q.codes(i, j)) * static_cast<double>(q.scale(i, j));
  });
}

// `value` cut to `bits` fraction bits, as an accumulator that keeps no more.
inline float truncated(float value, int bits) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & ~((1u << (23 - bits)) - 1));
}

// C[M, N] = A[M, K] W[K, N] on codes. Two-level accumulation (DeepSeek-V3 section 3.3.2): partial sums over `step`
// terms in an accumulator of `fraction_bits` (23: fp32; Hopper's fp8 tensor core keeps about 13), then scaled by both
// operands and added in fp32. `step` must stay within one scale block of each operand along K.
inline Matrix<float> block_scaled_gemm(const Quantised& a, const Quantised& w, Eigen::Index step,
                                       int fraction_bits = 23) {
  const Eigen::Index depth = a.codes.cols();
  Matrix<float> c = Matrix<float>::Zero(a.codes.rows(), w.codes.cols());
  for (Eigen::Index i = 0; i < c.rows(); ++i) {
    for (Eigen::Index j = 0; j < c.cols(); ++j) {
      for (Eigen::Index first = 0; first < depth; first += step) {
        float partial = 0;
        for (Eigen::Index k = first; k < std::min(first + step, depth); ++k) {
          partial = truncated(partial + a.codes(i, k) * w.codes(k, j), fraction_bits);
        }
        c(i, j) += partial * (a.scale(i, first) * w.scale(first, j));
      }
    }
  }
  return c;
}

// W8A8: exact int32 sums, both scales in the epilogue. A per token, W per channel.
inline Matrix<float> int8_gemm(const Quantised& a, const Quantised& w) {
  using Integers = Matrix<std::int32_t>;
  const Integers sums = a.codes.cast<std::int32_t>() * w.codes.cast<std::int32_t>();
  return Matrix<float>::NullaryExpr(sums.rows(), sums.cols(), [&](Eigen::Index i, Eigen::Index j) {
    return static_cast<float>(sums(i, j)) * (a.scale(i, 0) * w.scale(0, j));
  });
}

}  // namespace lightcone::models::reference
