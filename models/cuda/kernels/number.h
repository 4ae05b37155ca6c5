// SPDX-License-Identifier: Apache-2.0
// Numbers and functions that kernels use, the same under nvcc and under a C++ compiler: a kernel is a template that a
// GPU runs from a .cu file and that tests run on the CPU (host_block.h).
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define LIGHTCONE_DEVICE __device__ __forceinline__
#define LIGHTCONE_BOTH __host__ __device__ constexpr
#define LIGHTCONE_UNROLL _Pragma("unroll")
#define LIGHTCONE_UNROLL_4 _Pragma("unroll 4")
#else
#include <bit>
#include <cmath>
#define LIGHTCONE_DEVICE inline
#define LIGHTCONE_BOTH constexpr
#define LIGHTCONE_UNROLL
#define LIGHTCONE_UNROLL_4
#endif

namespace lightcone::models::cuda {

// A bf16 value as it lies in memory. cuda_bf16.h has one too, at half a second of compile time per file and
// architecture.
struct Bf16 {
  std::uint16_t bits;
};

LIGHTCONE_DEVICE float bits_to_float(std::uint32_t bits) {
#ifdef __CUDACC__
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}
LIGHTCONE_DEVICE std::uint32_t float_to_bits(float value) {
#ifdef __CUDACC__
  return __float_as_uint(value);
#else
  return std::bit_cast<std::uint32_t>(value);
#endif
}

LIGHTCONE_DEVICE float to_float(Bf16 value) { return bits_to_float(static_cast<std::uint32_t>(value.bits) << 16); }
LIGHTCONE_DEVICE float to_float(float value) { return value; }

// To nearest, ties to even. PTX ISA 9.7.9.21 (cvt.rn.bf16.f32, sm_80).
LIGHTCONE_DEVICE Bf16 to_bf16(float value) {
#ifdef __CUDACC__
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return {bits};
#else
  const std::uint32_t bits = float_to_bits(value);
  if (value != value) return {0x7FFF};
  return {static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
#endif
}

// Two values as the 32-bit operands of tensor cores hold them, `low` in the lower half.
LIGHTCONE_DEVICE std::uint32_t pack_bf16(float low, float high) {
  return static_cast<std::uint32_t>(to_bf16(low).bits) | static_cast<std::uint32_t>(to_bf16(high).bits) << 16;
}

template <class Out>
LIGHTCONE_DEVICE void store(Out* to, float value) {
  if constexpr (sizeof(Out) == 2) {
    *to = to_bf16(value);
  } else {
    *to = value;
  }
}

constexpr float kLog2E = 1.4426950408889634F;
constexpr float kLn2 = 0.6931471805599453F;

LIGHTCONE_DEVICE float infinity() { return bits_to_float(0x7F800000u); }
LIGHTCONE_DEVICE float max_of(float a, float b) { return a > b ? a : b; }
LIGHTCONE_DEVICE float min_of(float a, float b) { return a < b ? a : b; }
LIGHTCONE_BOTH int smaller(int a, int b) { return a < b ? a : b; }
LIGHTCONE_BOTH int larger(int a, int b) { return a > b ? a : b; }
LIGHTCONE_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }
LIGHTCONE_DEVICE float softplus(float x) { return x > 20.0F ? x : log1pf(expf(x)); }

// One instruction of the special-function unit; 2 ulp (PTX ISA 9.7.3.20, ex2.approx.ftz.f32).
LIGHTCONE_DEVICE float fast_exp2(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return std::exp2(x);
#endif
}

// Bits of v to e4m3 (OCP FP8: 4 exponent and 3 fraction bits, bias 7, saturating at 448), to nearest with ties to even.
// In integers, since cvt.rn.satfinite.e4m3x2.f32 needs sm_89. Not for NaN.
LIGHTCONE_DEVICE std::uint8_t to_e4m3(float value) {
  const std::uint32_t sign = float_to_bits(value) >> 31 << 7;
  const float magnitude = min_of(fabsf(value), 448.0F);
  if (magnitude < 0.015625F) {  // below 2^-6: multiples of 2^-9; 8 of them are the code of 2^-6
    return static_cast<std::uint8_t>(sign | static_cast<std::uint32_t>(rintf(magnitude * 512.0F)));
  }
  const std::uint32_t bits = float_to_bits(magnitude);
  const std::uint32_t rounded = bits + 0x7FFFFu + ((bits >> 20) & 1u);  // 3 of 23 fraction bits stay
  return static_cast<std::uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}
LIGHTCONE_DEVICE float from_e4m3(std::uint8_t code) {
  const std::uint32_t magnitude = code & 0x7Fu;
  const float value =
      magnitude < 8 ? static_cast<float>(magnitude) * (1.0F / 512.0F) : bits_to_float((magnitude << 20) + (120u << 23));
  return (code & 0x80u) != 0 ? -value : value;
}

}  // namespace lightcone::models::cuda
