// SPDX-License-Identifier: Apache-2.0
// GPUs for mapping tests: only what decides which kernels fit. Round figures of public datasheets.
#pragma once

#include "hardware/spec/gpu_spec.h"

namespace lightcone::testing {

inline hardware::GpuSpec test_gpu(hardware::TensorCoreGeneration generation, std::uint32_t sms,
                                  std::uint64_t shared_kib, double flops_per_clock) {
  using namespace lightcone;
  hardware::GpuSpec gpu;
  gpu.name = "test_gpu";
  gpu.sm_count = sms;
  gpu.clock = {Hertz(1.5e9), Hertz(5e8)};
  gpu.power.reference = gpu.clock.boost;
  gpu.sm.tensor.generation = generation;
  gpu.sm.tensor.flops_per_clock = {{NumberFormat::bf16, flops_per_clock},
                                   {NumberFormat::fp16, flops_per_clock},
                                   {NumberFormat::int8, 2 * flops_per_clock},
                                   {NumberFormat::tf32, flops_per_clock / 2}};
  if (generation != hardware::TensorCoreGeneration::mma_sync) {
    gpu.sm.tensor.flops_per_clock[NumberFormat::fp8_e4m3] = 2 * flops_per_clock;
    gpu.sm.copy.tma = true;
  }
  gpu.sm.tensor.latency = Cycles(32);
  gpu.sm.shared_memory = Bytes((shared_kib + 1) * 1024);
  gpu.sm.shared_memory_per_cta = Bytes(shared_kib * 1024);
  gpu.sm.l1_and_shared = Bytes(256 * 1024);
  gpu.l2.capacity = Bytes(50 << 20);
  gpu.hbm.capacity = Bytes(std::uint64_t{80} << 30);
  return gpu;
}

inline hardware::GpuSpec hopper() { return test_gpu(hardware::TensorCoreGeneration::wgmma, 132, 227, 4096); }
inline hardware::GpuSpec ampere() { return test_gpu(hardware::TensorCoreGeneration::mma_sync, 108, 163, 2048); }
inline hardware::GpuSpec ada() { return test_gpu(hardware::TensorCoreGeneration::mma_sync, 58, 99, 1024); }
inline hardware::GpuSpec blackwell() { return test_gpu(hardware::TensorCoreGeneration::tcgen05, 148, 227, 8192); }

}  // namespace lightcone::testing
