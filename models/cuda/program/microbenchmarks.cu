// SPDX-License-Identifier: Apache-2.0
// Every kernel here has a result that nothing reads but that the compiler cannot leave out.
#include "models/cuda/kernels/device_block.h"
#include "models/cuda/kernels/device_run.h"
#include "models/cuda/program/microbenchmarks.h"

namespace lightcone::models::cuda {

namespace {

constexpr int kThreads = 512, kCtasPerSm = 4, kChains = 8;
constexpr unsigned kInstructions = 64;  // per round and chain, unrolled
// Occurs in no chain: the store that keeps the results alive never happens.
constexpr float kNever = -1.2345e30F;

__global__ void chase_kernel(const void* start, int warm_up, int steps, long long* cycles, const void** sink) {
  const void* at = start;
  for (int i = 0; i < warm_up; ++i) at = *static_cast<const void* const volatile*>(at);
  const long long begin = clock64();
  for (int i = 0; i < steps; ++i) at = *static_cast<const void* const*>(at);
  *sink = at;  // the clock is read after the last load, which this address needs
  asm volatile("" ::"l"(at) : "memory");
  *cycles = clock64() - begin;
}

__global__ void __launch_bounds__(kThreads) read_kernel(const uint4* from, std::size_t count, int passes, uint4* sink) {
  const std::size_t threads = std::size_t(gridDim.x) * kThreads;
  uint4 sum{0, 0, 0, 0};
  for (int pass = 0; pass < passes; ++pass) {
    // Each pass starts elsewhere, so that no SM meets its own lines again.
    std::size_t first = (std::size_t(blockIdx.x) + std::size_t(pass) * 37) % gridDim.x * kThreads + threadIdx.x;
#pragma unroll 4
    for (std::size_t i = first; i < count; i += threads) {
      const uint4 v = __ldcg(from + i);
      sum.x ^= v.x, sum.y ^= v.y, sum.z ^= v.z, sum.w ^= v.w;
    }
  }
  if (sum.x == 0x12345678u && sum.y == 0x9ABCDEF0u && sum.z == sum.w) *sink = sum;
}

__global__ void __launch_bounds__(kThreads) copy_kernel(const uint4* from, uint4* to, std::size_t count) {
  const std::size_t threads = std::size_t(gridDim.x) * kThreads;
#pragma unroll 4
  for (std::size_t i = std::size_t(blockIdx.x) * kThreads + threadIdx.x; i < count; i += threads)
    to[i] = __ldcg(from + i);
}

__global__ void __launch_bounds__(kThreads) write_kernel(uint4* to, std::size_t count) {
  const std::size_t threads = std::size_t(gridDim.x) * kThreads;
  const uint4 v{threadIdx.x, blockIdx.x, 1, 2};
#pragma unroll 4
  for (std::size_t i = std::size_t(blockIdx.x) * kThreads + threadIdx.x; i < count; i += threads) to[i] = v;
}

__global__ void __launch_bounds__(kThreads) tensor_kernel(int rounds, float* sink) {
  float d[kChains][4] = {};
  const std::uint32_t a[4] = {threadIdx.x, 0x3C003C00u, 0x3F803F80u, threadIdx.x * 77}, b = 0x3E003E00u;
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (unsigned i = 0; i < kInstructions; ++i) {
#pragma unroll
      for (int c = 0; c < kChains; ++c) DeviceBlock::mma(d[c], a, b, b);
    }
  }
  float sum = 0;
  for (int c = 0; c < kChains; ++c) sum += d[c][0] + d[c][1] + d[c][2] + d[c][3];
  if (sum == kNever) *sink = sum;
}

__global__ void __launch_bounds__(kThreads) fp32_kernel(int rounds, float* sink) {
  float v[kChains];
  const float scale = 1.0F - 1e-7F * static_cast<float>(threadIdx.x);
  for (int c = 0; c < kChains; ++c) v[c] = static_cast<float>(c + 1);
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (unsigned i = 0; i < kInstructions; ++i) {
#pragma unroll
      for (int c = 0; c < kChains; ++c) v[c] = fmaf(v[c], scale, 0.5F);
    }
  }
  float sum = 0;
  for (int c = 0; c < kChains; ++c) sum += v[c];
  if (sum == kNever) *sink = sum;
}

__global__ void __launch_bounds__(kThreads) sfu_kernel(int rounds, float* sink) {
  float v[kChains];
  for (int c = 0; c < kChains; ++c) v[c] = -0.01F * static_cast<float>(c + 1 + threadIdx.x % 7);
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (unsigned i = 0; i < kInstructions; ++i) {
#pragma unroll
      for (int c = 0; c < kChains; ++c) v[c] = fast_exp2(v[c]);
    }
  }
  float sum = 0;
  for (int c = 0; c < kChains; ++c) sum += v[c];
  if (sum == kNever) *sink = sum;
}

__global__ void nothing_kernel() {}

unsigned ctas(int sms) { return static_cast<unsigned>(sms * kCtasPerSm); }

}  // namespace

void chase_pointers(const void* start, int warm_up, int steps, long long* cycles, void* sink, cudaStream_t stream) {
  chase_kernel<<<1, 1, 0, stream>>>(start, warm_up, steps, cycles, static_cast<const void**>(sink));
  check_cuda(cudaGetLastError(), "pointer chase");
}
void read_memory(const void* from, std::size_t bytes, int passes, int sms, void* sink, cudaStream_t stream) {
  read_kernel<<<ctas(sms), kThreads, 0, stream>>>(static_cast<const uint4*>(from), bytes / sizeof(uint4), passes,
                                                  static_cast<uint4*>(sink));
  check_cuda(cudaGetLastError(), "reading of memory");
}
void copy_memory(const void* from, void* to, std::size_t bytes, int sms, cudaStream_t stream) {
  copy_kernel<<<ctas(sms), kThreads, 0, stream>>>(static_cast<const uint4*>(from), static_cast<uint4*>(to),
                                                  bytes / sizeof(uint4));
  check_cuda(cudaGetLastError(), "copying of memory");
}
void write_memory(void* to, std::size_t bytes, int sms, cudaStream_t stream) {
  write_kernel<<<ctas(sms), kThreads, 0, stream>>>(static_cast<uint4*>(to), bytes / sizeof(uint4));
  check_cuda(cudaGetLastError(), "writing of memory");
}

double spin_operations(Unit unit, int sms, int rounds) {
  const double instructions = double(ctas(sms)) * kThreads * kInstructions * kChains * rounds;  // of threads
  if (unit == Unit::tensor_bf16) return instructions / 32 * 2 * 16 * 8 * 16;
  return unit == Unit::fp32 ? instructions * 2 : instructions;
}
void spin(Unit unit, int sms, int rounds, void* sink, cudaStream_t stream) {
  auto* result = static_cast<float*>(sink);
  if (unit == Unit::tensor_bf16) {
    tensor_kernel<<<ctas(sms), kThreads, 0, stream>>>(rounds, result);
  } else if (unit == Unit::fp32) {
    fp32_kernel<<<ctas(sms), kThreads, 0, stream>>>(rounds, result);
  } else {
    sfu_kernel<<<ctas(sms), kThreads, 0, stream>>>(rounds, result);
  }
  check_cuda(cudaGetLastError(), "arithmetic without memory");
}

void empty_kernel(cudaStream_t stream) {
  nothing_kernel<<<1, 32, 0, stream>>>();
  check_cuda(cudaGetLastError(), "empty kernel");
}

}  // namespace lightcone::models::cuda
