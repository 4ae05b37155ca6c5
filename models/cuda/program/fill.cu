// SPDX-License-Identifier: Apache-2.0
// Random operands on the device.
#include "models/cuda/cases/problem.h"
#include "models/cuda/kernels/device_run.h"
#include "models/cuda/kernels/number.h"

namespace lightcone::models::cuda {

void fill_random(void* to, const InputSpec& spec, std::uint64_t seed, cudaStream_t stream);

namespace {

// SplitMix64's finaliser (Steele, Lea and Flood 2014).
__device__ std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

__device__ float random_value(Fill fill, float scale, std::uint64_t bits) {
  const float u = (static_cast<float>(bits >> 40) + 0.5F) * 0x1p-24F;  // in (0, 1)
  if (fill == Fill::uniform) return scale * u;
  if (fill == Fill::log_decay) return -scale * u;
  // Box and Muller.
  const float angle = static_cast<float>(bits & 0xFFFFFFu) * (6.2831853F * 0x1p-24F);
  return scale * sqrtf(-2.0F * logf(u)) * cosf(angle);
}

__global__ void fill_kernel(void* to, Element element, std::int64_t count, Fill fill, float scale, std::uint64_t seed) {
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += threads) {
    const float value =
        random_value(fill, scale, mixed(seed + 0x9E3779B97F4A7C15ull * static_cast<std::uint64_t>(i + 1)));
    switch (element) {
      case Element::bf16:
        static_cast<Bf16*>(to)[i] = to_bf16(value);
        break;
      case Element::fp32:
        static_cast<float*>(to)[i] = value;
        break;
      case Element::int32:
        static_cast<std::int32_t*>(to)[i] = static_cast<std::int32_t>(value);
        break;
      case Element::int8:
        static_cast<std::int8_t*>(to)[i] = static_cast<std::int8_t>(value);
        break;
      case Element::e4m3:
        static_cast<std::uint8_t*>(to)[i] = to_e4m3(value);
        break;
    }
  }
}

}  // namespace

void fill_random(void* to, const InputSpec& spec, std::uint64_t seed, cudaStream_t stream) {
  if (spec.count == 0) return;
  constexpr int kThreads = 256;
  const std::int64_t ctas = (spec.count + kThreads - 1) / kThreads;
  const double scale = spec.fill == Fill::unit_rows ? 1 / sqrt(static_cast<double>(spec.row)) : spec.scale;
  fill_kernel<<<static_cast<unsigned>(ctas < 4096 ? ctas : 4096), kThreads, 0, stream>>>(
      to, spec.element, spec.count, spec.fill, static_cast<float>(scale), seed);
  check_cuda(cudaGetLastError(), "filling of an operand");
}

}  // namespace lightcone::models::cuda
