// SPDX-License-Identifier: Apache-2.0
// Rounding to the 16-bit formats, to nearest with ties to even, as kernels do when they write a result or feed a tensor
// core. Values between are kept in float.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace lightcone::models::reference {

// bf16: 8 exponent and 7 fraction bits.
inline float round_to_bf16(float value) {
  if (std::isnan(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t half = 0x7FFFu + ((bits >> 16) & 1u);
  return std::bit_cast<float>((bits + half) & 0xFFFF0000u);
}

// fp16: 5 exponent and 10 fraction bits, subnormals kept, overflow to infinity.
inline float round_to_fp16(float value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), -14);
  const float step = std::ldexp(1.0F, exponent - 10);
  const float rounded = std::nearbyint(value / step) * step;
  return std::abs(rounded) > 65504.0F ? std::copysign(INFINITY, value) : rounded;
}

// Every element of a matrix expression rounded to bf16.
template <class Expression>
auto rounded_to_bf16(const Expression& values) {
  return values.unaryExpr([](float v) { return round_to_bf16(v); }).eval();
}

}  // namespace lightcone::models::reference
