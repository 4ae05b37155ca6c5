// SPDX-License-Identifier: Apache-2.0
// GPUs and programs for tests of the evaluators, independent of the catalog: round numbers of the H100's class.
#pragma once

#include "hardware/parts/hbm_presets.h"
#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware::testing {

inline GpuSpec hopper_like() {
  GpuSpec g;
  g.name = "hopper_like";
  g.sm_count = 132;
  g.clock = {Hertz(1755e6), Hertz(345e6)};
  g.sm.tensor.generation = TensorCoreGeneration::wgmma;
  g.sm.tensor.flops_per_clock = {{NumberFormat::bf16, 4096}, {NumberFormat::fp8_e4m3, 8192}};
  g.sm.tensor.latency = Cycles(64);
  g.sm.shared_memory = Bytes(227 * 1024);
  g.sm.shared_memory_per_cta = Bytes(227 * 1024);
  g.sm.l1_and_shared = Bytes(256 * 1024);
  g.sm.shared_latency = Cycles(29);
  g.sm.l1_latency = Cycles(34);
  g.sm.barrier_latency = Cycles(20);
  g.sm.cta_launch = Cycles(300);
  g.sm.copy = {true, 1, Cycles(105), 512};
  g.noc.request_latency = Cycles(70);
  g.noc.response_latency = Cycles(70);
  g.noc.far_latency = Cycles(100);
  g.noc.partition_link_bytes_per_clock = 2048;
  g.l2.capacity = Bytes(50ull << 20);
  g.l2.slices = 80;
  g.l2.hit_latency = Cycles(91);
  g.hbm.generation = "HBM3";
  g.hbm.stacks = 5;
  g.hbm.channels_per_stack = 16;
  g.hbm.pseudo_channels_per_channel = 2;
  g.hbm.pseudo_channel_bits = 32;
  const HbmPreset& preset = kHbmPresets[1];
  g.hbm.gigabits_per_second_per_pin = preset.gigabits_per_second_per_pin;
  g.hbm.timing = preset.timing;
  g.hbm.controller_latency = Picoseconds(150000);
  g.hbm.capacity = Bytes(80ull << 30);
  g.launch.graph_kernel = Seconds(0.8e-6);
  g.launch.stream_kernel = Seconds(2e-6);
  g.launch.cta_dispatch_cycles = 1.5;
  g.launch.kernel_start = Cycles(500);
  g.launch.kernel_end = Cycles(300);
  g.power.limit = Watts(700);
  g.power.reference = g.clock.boost;
  g.power.idle = Watts(70);
  g.power.tensor_pj_per_flop = {{NumberFormat::bf16, 0.6}};
  g.power.fp32_pj_per_flop = 5;
  g.power.hbm_pj_per_byte = 60;
  g.power.l2_pj_per_byte = 10;
  return g;
}

// C[m,n] = A[m,k] W[k,n], 128x256 tiles, one producer warp and two consumer warpgroups, persistent; W stored [n][k].
inline TileProgram gemm_128x256(std::uint32_t m, std::uint32_t n, std::uint32_t k, std::uint8_t multicast = 1) {
  TileProgram p;
  p.name = "test_gemm_128x256";
  p.tensors = {{"A", Bytes(std::uint64_t{m} * k * 2), Residency::warm, false},
               {"W", Bytes(std::uint64_t{n} * k * 2), Residency::cold, false},
               {"C", Bytes(std::uint64_t{m} * n * 2), Residency::warm, true}};
  const auto box = [&](std::uint32_t tensor, Var rows_of, std::uint32_t rows, std::uint64_t extent) {
    Box b;
    b.tensor = tensor;
    b.row_var = rows_of;
    b.rows = rows;
    b.row_extent = extent;
    b.row_pitch_bytes = std::uint64_t{k} * 2;
    b.column_var = Var::loop0;
    b.row_bytes = 128;
    b.column_extent_bytes = std::uint64_t{k} * 2;
    return b;
  };
  CtaClass c;
  c.name = "tile";
  c.pipes = {{"ab", 4, 2}};
  c.roles.push_back({"producer",
                     1,
                     {LoopBegin{0}, AcquireStage{0}, LoadTile{0, box(0, Var::cta0, 128, m), CopyPath::bulk, 1},
                      LoadTile{0, box(1, Var::cta1, 256, n), CopyPath::bulk, multicast}, CommitStage{0}, LoopEnd{}}});
  for (std::uint32_t w = 0; w < 2; ++w) {
    Mma mma;
    mma.m = 64;
    mma.n = 256;
    mma.k = 64;
    mma.shared_read_bytes = (64 + 256) * 128;
    mma.useful = UsefulPart{};
    mma.useful.m_var = Var::cta0;
    mma.useful.m_step = 128;
    mma.useful.m_first = 64 * w;
    mma.useful.m_extent = m;
    mma.useful.n_var = Var::cta1;
    mma.useful.n_step = 256;
    mma.useful.n_extent = n;
    mma.useful.k_var = Var::loop0;
    mma.useful.k_step = 64;
    mma.useful.k_extent = k;
    Box out;
    out.tensor = 2;
    out.row_var = Var::cta0;
    out.rows = 128;
    out.row_extent = m;
    out.row_pitch_bytes = std::uint64_t{n} * 2;
    out.column_var = Var::cta1;
    out.row_bytes = 512;
    out.column_extent_bytes = std::uint64_t{n} * 2;
    std::vector<Op> ops{LoopBegin{0},
                        WaitStage{0},
                        mma,
                        MmaWait{0},
                        ReleaseStage{0},
                        LoopEnd{},
                        VectorWork{64 * 256, 0, 0, 0, 50},
                        SharedAccess{0, 64 * 512}};
    if (w == 0) ops.push_back(GlobalStore{out, CopyPath::bulk});
    c.roles.push_back({"consumer" + std::to_string(w), 4, ops});
  }
  p.classes = {c};
  CtaGroup g;
  g.extent = {(m + 127) / 128, (n + 255) / 256, 1, 1};
  g.band = 16;
  g.loops[0] = {0, (k + 63) / 64};
  p.groups = {g};
  p.threads_per_cta = 288;
  p.registers_per_thread = 168;
  p.shared_memory_per_cta = Bytes(4 * (128 + 256) * 128 + 1024);
  p.persistent = true;
  return p;
}

// Streams `bytes` from one array to another, 4 KiB per CTA of 256 threads.
inline TileProgram copy_kernel(std::uint64_t bytes, Residency residency = Residency::cold) {
  TileProgram p;
  p.name = "test_copy";
  p.tensors = {{"in", Bytes(bytes), residency, false}, {"out", Bytes(bytes), residency, true}};
  Box in;
  in.tensor = 0;
  in.row_extent = 1;
  in.column_var = Var::cta0;
  in.row_bytes = 4096;
  in.column_extent_bytes = bytes;
  in.row_pitch_bytes = bytes;
  Box out = in;
  out.tensor = 1;
  CtaClass c;
  c.name = "copy";
  c.roles.push_back({"warps", 8, {GlobalLoad{in}, WaitLoads{}, VectorWork{2048, 0, 512, 0, 0}, GlobalStore{out}}});
  p.classes = {c};
  CtaGroup g;
  g.extent = {static_cast<std::uint32_t>((bytes + 4095) / 4096), 1, 1, 1};
  p.groups = {g};
  p.threads_per_cta = 256;
  p.registers_per_thread = 32;
  return p;
}

}  // namespace lightcone::hardware::testing
