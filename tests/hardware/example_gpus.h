// SPDX-License-Identifier: Apache-2.0
// Two GPUs written down in code, so that tests of the evaluators do not move when a machine file is recalibrated.
#pragma once

#include "hardware/parts/hbm_presets.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

inline GpuSpec example_h100() {
  GpuSpec gpu;
  gpu.name = "example_h100";
  gpu.sm_count = 132;
  gpu.clock = {1755_MHz, 345_MHz};
  gpu.sm.tensor.generation = TensorCoreGeneration::wgmma;
  gpu.sm.tensor.flops_per_clock = {{NumberFormat::bf16, 4096},
                                   {NumberFormat::fp16, 4096},
                                   {NumberFormat::tf32, 2048},
                                   {NumberFormat::fp8_e4m3, 8192}};
  gpu.sm.tensor.latency = 64_cy;
  gpu.sm.tensor.issue_efficiency = 0.97;
  gpu.sm.shared_memory = 227_KiB;
  gpu.sm.shared_memory_per_cta = 227_KiB;
  gpu.sm.l1_and_shared = 256_KiB;
  gpu.sm.shared_latency = 29_cy;
  gpu.sm.l1_latency = 34_cy;
  gpu.sm.barrier_latency = 20_cy;
  gpu.sm.cta_launch = 300_cy;
  gpu.sm.copy = {true, 1, 105_cy, 512};
  gpu.noc.request_latency = 80_cy;
  gpu.noc.response_latency = 80_cy;
  gpu.noc.far_latency = 50_cy;
  gpu.noc.partition_link_bytes_per_clock = 2560;
  gpu.l2.capacity = 50_MiB;
  gpu.l2.hit_latency = 105_cy;
  gpu.l2.same_address_atomic = 12_cy;
  gpu.hbm.generation = "HBM3";
  gpu.hbm.gigabits_per_second_per_pin = 5.235;
  gpu.hbm.timing = scaled(kHbm3Preset.timing, 5.235, kHbm3BitsPerClock);
  gpu.hbm.per_bank_refresh = true;
  gpu.hbm.controller_latency = Picoseconds(180000);
  gpu.hbm.capacity = 80_GiB;
  gpu.launch.graph_kernel = Seconds(0.9e-6);
  gpu.launch.stream_kernel = Seconds(2.2e-6);
  gpu.launch.kernel_start = 800_cy;
  gpu.launch.kernel_end = 400_cy;
  gpu.power.limit = Watts(700);
  gpu.power.reference = gpu.clock.boost;
  gpu.power.idle = Watts(70);
  gpu.power.tensor_pj_per_flop = {{NumberFormat::bf16, 0.55}, {NumberFormat::fp8_e4m3, 0.35}};
  gpu.power.fp32_pj_per_flop = 4;
  gpu.power.sfu_pj_per_op = 10;
  gpu.power.shared_pj_per_byte = 1.5;
  gpu.power.l2_pj_per_byte = 10;
  gpu.power.hbm_pj_per_byte = 60;
  gpu.power.sm_active_watts = 0.6;
  return gpu;
}

inline GpuSpec example_a100() {
  GpuSpec gpu = example_h100();
  gpu.name = "example_a100";
  gpu.sm_count = 108;
  gpu.clock = {1410_MHz, 210_MHz};
  gpu.sm.tensor.generation = TensorCoreGeneration::mma_sync;
  gpu.sm.tensor.flops_per_clock = {{NumberFormat::bf16, 2048}, {NumberFormat::fp16, 2048}, {NumberFormat::tf32, 1024}};
  gpu.sm.tensor.latency = 33_cy;
  gpu.sm.fp32_lanes = 64;
  gpu.sm.shared_memory = 164_KiB;
  gpu.sm.shared_memory_per_cta = 163_KiB;
  gpu.sm.l1_and_shared = 192_KiB;
  gpu.sm.copy = {false, 1, 0_cy, 384};
  gpu.noc.request_latency = 60_cy;
  gpu.noc.response_latency = 60_cy;
  gpu.l2.capacity = 40_MiB;
  gpu.l2.hit_latency = 91_cy;
  gpu.hbm.generation = "HBM2e";
  gpu.hbm.channels_per_stack = 8;
  gpu.hbm.pseudo_channel_bits = 64;
  gpu.hbm.gigabits_per_second_per_pin = 3.186;
  gpu.hbm.timing = scaled(kHbm2Preset.timing, 3.186, kHbm2BitsPerClock);
  gpu.hbm.per_bank_refresh = false;
  gpu.power.limit = Watts(400);
  gpu.power.reference = gpu.clock.boost;
  gpu.power.idle = Watts(54);
  gpu.power.tensor_pj_per_flop = {{NumberFormat::bf16, 0.7}};
  return gpu;
}

}  // namespace lightcone::hardware
