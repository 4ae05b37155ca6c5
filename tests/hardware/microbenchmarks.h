// SPDX-License-Identifier: Apache-2.0
// Microbenchmarks of a GPU's memory as tile programs, after the published suites (gpu-benches of RRZE): a pointer
// chase, streaming reads of one buffer by all SMs, an empty kernel. A program's start and end drop out when two runs of
// different length are subtracted.
#pragma once

#include <cstdint>
#include <string>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware::testing {

// One CTA of one warp, none of whose loads starts before the one ahead of it has arrived: `lines` loads of one 32-byte
// sector each, `stride` bytes apart, `passes` times over. Loads of the same order in every pass meet the caches as a
// random permutation does: each line comes back after all others.
inline TileProgram pointer_chase(std::uint64_t lines, std::uint64_t stride, std::int64_t passes) {
  TileProgram p;
  p.name = "pointer_chase";
  p.tensors = {{"list", Bytes(lines * stride), Residency::cold, false}};
  Box element;
  element.tensor = 0;
  element.row_var = Var::loop1;
  element.row_extent = lines;
  element.row_pitch_bytes = stride;
  element.row_bytes = 32;
  element.column_extent_bytes = stride;
  CtaClass c;
  c.name = "warp";
  c.roles.push_back({"warp", 1, {LoopBegin{0}, LoopBegin{1}, GlobalLoad{element}, WaitLoads{}, LoopEnd{}, LoopEnd{}}});
  p.classes = {c};
  CtaGroup g;
  g.loops[0] = {0, passes};
  g.loops[1] = {0, static_cast<std::int64_t>(lines)};
  p.groups = {g};
  p.threads_per_cta = 32;
  p.registers_per_thread = 16;
  return p;
}

// Two CTAs of 1024 threads on each SM read a buffer of `chunks` x 512 KiB: CTA i reads chunk i mod `chunks`, 32 KiB at
// a time, in `turns` turns of the whole grid (as gpu-benches gpu-l2-cache does). Eight groups of four warps wait each
// for the 4 KiB that it has under way.
inline TileProgram streaming_read(const GpuSpec& gpu, std::uint32_t chunks, std::uint32_t turns, Residency residency) {
  constexpr std::uint64_t kPart = 32768, kParts = 16, kGroups = 8;
  const std::uint64_t row = std::uint64_t{chunks} * kPart;  // parts of the chunks lie in turn, as the suite has them
  TileProgram p;
  p.name = "streaming_read";
  p.tensors = {{"buffer", Bytes(row * kParts), residency, false}};
  CtaClass c;
  c.name = "reader";
  for (std::uint64_t group = 0; group < kGroups; ++group) {
    Box box;
    box.tensor = 0;
    box.row_var = Var::loop0;
    box.row_extent = kParts;
    box.row_pitch_bytes = row;
    box.column_var = Var::cta0;
    box.row_bytes = kPart / kGroups;
    box.column_extent_bytes = row;
    box.column_step_bytes = kPart;
    box.first_column_byte = group * box.row_bytes;
    c.roles.push_back({"warps" + std::to_string(group), 4, {LoopBegin{0}, GlobalLoad{box}, WaitLoads{}, LoopEnd{}}});
  }
  p.classes = {c};
  CtaGroup g;
  const std::uint64_t ctas = std::uint64_t{2} * gpu.sm_count * turns;
  g.extent = {chunks, static_cast<std::uint32_t>((ctas + chunks - 1) / chunks), 1, 1};
  g.loops[0] = {0, static_cast<std::int64_t>(kParts)};
  p.groups = {g};
  p.threads_per_cta = 1024;
  p.registers_per_thread = 32;
  return p;
}

// CTAs of `threads` threads, one on each SM at a time, `per_sm` after one another: every thread reads 8 bytes and waits
// for them, or writes 8 bytes, and ends (gpu-benches gpu-stream at its lowest occupancy). What one of them takes is the
// turnover of a CTA, with a load also the latency of memory.
inline TileProgram short_ctas(const GpuSpec& gpu, std::uint32_t threads, std::uint32_t per_sm, bool write) {
  const std::uint32_t ctas = gpu.sm_count * per_sm;
  const std::uint64_t bytes = std::uint64_t{threads} * 8;
  TileProgram p;
  p.name = write ? "short_ctas_write" : "short_ctas_read";
  p.tensors = {{"array", Bytes(bytes * ctas), Residency::cold, write}};
  Box box;
  box.tensor = 0;
  box.row_extent = 1;
  box.row_pitch_bytes = box.column_extent_bytes = bytes * ctas;
  box.column_var = Var::cta0;
  box.row_bytes = bytes;
  CtaClass c;
  c.name = "cta";
  if (write) {
    c.roles.push_back({"warps", 1, {GlobalStore{box}}});
  } else {
    c.roles.push_back({"warps", 1, {GlobalLoad{box}, WaitLoads{}}});
  }
  p.classes = {c};
  CtaGroup g;
  g.extent = {ctas, 1, 1, 1};
  p.groups = {g};
  p.threads_per_cta = threads;
  p.registers_per_thread = 16;
  p.shared_memory_per_cta = Bytes(gpu.sm.shared_memory_per_cta.count() - 2048);  // no room for a second one
  return p;
}

// One CTA of one warp that does nothing.
inline TileProgram empty_kernel() {
  TileProgram p;
  p.name = "empty_kernel";
  CtaClass c;
  c.name = "warp";
  c.roles.push_back({"warp", 1, {}});
  p.classes = {c};
  p.groups = {CtaGroup{}};
  p.threads_per_cta = 32;
  p.registers_per_thread = 16;
  return p;
}

}  // namespace lightcone::hardware::testing
