// SPDX-License-Identifier: Apache-2.0
// The number formats of tensors: name, width, and the bits of scale that block formats carry per element.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sim/base/units.h"

namespace lightcone {

enum class NumberFormat : std::uint8_t { fp64, fp32, tf32, bf16, fp16, fp8_e4m3, fp8_e5m2, int8, int4, mxfp4, nvfp4 };

struct NumberFormatInfo {
  NumberFormat format;
  std::string_view name;
  unsigned bits;         // of one element, scales not counted
  unsigned scale_block;  // elements that share one scale; 0: no scales
  unsigned scale_bits;   // of one scale
};

// Sources: IEEE 754, OCP 8-bit floating point 1.0, OCP microscaling formats 1.0 (MXFP4: block 32, E8M0 scale),
// NVIDIA NVFP4 (block 16, E4M3 scale).
inline constexpr std::array<NumberFormatInfo, 11> kNumberFormats{{
    {NumberFormat::fp64, "fp64", 64, 0, 0},
    {NumberFormat::fp32, "fp32", 32, 0, 0},
    {NumberFormat::tf32, "tf32", 32, 0, 0},
    {NumberFormat::bf16, "bf16", 16, 0, 0},
    {NumberFormat::fp16, "fp16", 16, 0, 0},
    {NumberFormat::fp8_e4m3, "fp8_e4m3", 8, 0, 0},
    {NumberFormat::fp8_e5m2, "fp8_e5m2", 8, 0, 0},
    {NumberFormat::int8, "int8", 8, 0, 0},
    {NumberFormat::int4, "int4", 4, 0, 0},
    {NumberFormat::mxfp4, "mxfp4", 4, 32, 8},
    {NumberFormat::nvfp4, "nvfp4", 4, 16, 8},
}};

constexpr const NumberFormatInfo& info(NumberFormat format) { return kNumberFormats[static_cast<std::size_t>(format)]; }
constexpr std::string_view name(NumberFormat format) { return info(format).name; }

// Bytes of `elements` values, scales included, rounded up to whole bytes.
constexpr Bytes storage(NumberFormat format, std::uint64_t elements) {
  const NumberFormatInfo& f = info(format);
  std::uint64_t bits = elements * f.bits;
  if (f.scale_block != 0) bits += (elements + f.scale_block - 1) / f.scale_block * f.scale_bits;
  return Bytes((bits + 7) / 8);
}

constexpr std::optional<NumberFormat> parse_number_format(std::string_view text) {
  if (text == "fp8") return NumberFormat::fp8_e4m3;  // the field's short name
  for (const NumberFormatInfo& f : kNumberFormats) {
    if (f.name == text) return f.format;
  }
  return std::nullopt;
}

}  // namespace lightcone
