// SPDX-License-Identifier: Apache-2.0
// The grids of the narrow number formats: which values exist, rounding to them (nearest, ties to even, saturating), and
// their bit codes. Sources: OCP 8-bit floating point 1.0 (E4M3, E5M2), OCP microscaling formats 1.0 (E2M1, E8M0).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace lightcone::models::reference {

// A small floating-point format with a sign. `largest`: the largest finite value, to which larger ones saturate.
struct MiniFloat {
  int exponent_bits, mantissa_bits, bias;
  float largest;
};
inline constexpr MiniFloat kE4m3{4, 3, 7, 448};     // no infinity; S.1111.111 is NaN
inline constexpr MiniFloat kE5m2{5, 2, 15, 57344};  // exponent 31: infinity and NaN
inline constexpr MiniFloat kE2m1{2, 1, 1, 6};       // FP4: 0, 0.5, 1, 1.5, 2, 3, 4, 6

// Distance of neighbouring grid values around `value`.
inline float grid_step(const MiniFloat& format, float value) {
  const int exponent = value == 0 ? 1 - format.bias : std::max(std::ilogb(value), 1 - format.bias);
  return std::ldexp(1.0F, exponent - format.mantissa_bits);
}

inline float round_to_grid(const MiniFloat& format, float value) {
  if (std::isnan(value)) return value;
  const float within = std::clamp(value, -format.largest, format.largest);
  const float step = grid_step(format, within);
  return std::nearbyint(within / step) * step;
}

// Bits: sign, exponent, mantissa. The value is rounded first; not for NaN.
inline std::uint8_t encode(const MiniFloat& format, float value) {
  const float rounded = std::abs(round_to_grid(format, value));
  const int smallest = 1 - format.bias;
  const bool normal = rounded >= std::ldexp(1.0F, smallest);
  const int exponent = normal ? std::ilogb(rounded) : smallest;
  // In units of the step the mantissa of a normal number includes its leading one, which raises the exponent field
  // by 1.
  const auto mantissa = static_cast<unsigned>(std::ldexp(rounded, format.mantissa_bits - exponent));
  const unsigned field = static_cast<unsigned>(exponent - smallest) << format.mantissa_bits;
  const unsigned sign = std::signbit(value) ? 1u << (format.exponent_bits + format.mantissa_bits) : 0u;
  return static_cast<std::uint8_t>(sign | (field + mantissa));
}

// The value of a code; codes of NaN and infinity (E4M3 0x7F, E5M2 exponent 31) are the caller's to avoid.
inline float decode(const MiniFloat& format, std::uint8_t code) {
  const unsigned mantissa = code & ((1u << format.mantissa_bits) - 1);
  const int exponent = (code >> format.mantissa_bits) & ((1 << format.exponent_bits) - 1);
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(mantissa), 1 - format.bias - format.mantissa_bits)
                              : std::ldexp(static_cast<float>((1u << format.mantissa_bits) + mantissa),
                                           exponent - format.bias - format.mantissa_bits);
  return (code >> (format.exponent_bits + format.mantissa_bits)) & 1 ? -magnitude : magnitude;
}

// E8M0, the scale of MX formats: 2^(code - 127), code 255 is NaN. `scale` must be a power of two.
inline std::uint8_t encode_e8m0(float scale) {
  return static_cast<std::uint8_t>(std::clamp(std::ilogb(scale) + 127, 0, 254));
}
inline float decode_e8m0(std::uint8_t code) { return std::ldexp(1.0F, static_cast<int>(code) - 127); }

}  // namespace lightcone::models::reference
