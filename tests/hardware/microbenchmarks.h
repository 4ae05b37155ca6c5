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
  c.roles.push_back(
      {"warp", 1, {LoopBegin{0}, LoopBegin{1}, GlobalLoad{element}, WaitLoads{}, LoopEnd{}, LoopEnd{}}});
  p.classes = {c};
  CtaGroup g;
  g.loops[0] = {0, passes};
  g.loops[1] = {0, static_cast<std::int64_t>(lines)};
  p.groups = {g};
  p.threads_per_cta = 32;
  p.registers_per_thread = 16;
  return p;
}

// Two CTAs of 1024 threads on each SM read a buffer of `chunks` x 512 KiB: CTA i reads chunk i mod `chunks` (as
// gpu-benches gpu-l2-cache), 16 KiB at a time with two such loads of each CTA under way, in `turns` turns of the whole
// grid. `cold`: what it reads is not in the L2 cache; each CTA reads its chunk once per turn.
inline TileProgram streaming_read(const GpuSpec& gpu, std::uint32_t chunks, std::uint32_t turns) {
  constexpr std::uint64_t kPart = 16384, kParts = 32;  // 512 KiB
  const std::uint32_t resident = 2 * gpu.sm_count;
  TileProgram p;
  p.name = "streaming_read";
  p.tensors = {{"buffer", Bytes(std::uint64_t{chunks} * kPart * kParts), Residency::warm, false}};
  Box part;
  part.tensor = 0;
  part.row_var = Var::loop0;
  part.row_extent = kParts;
  part.row_pitch_bytes = std::uint64_t{chunks} * kPart;  // parts of the chunks lie in turn, as the suite has them
  part.column_var = Var::cta0;
  part.row_bytes = kPart;
  part.column_extent_bytes = std::uint64_t{chunks} * kPart;
  CtaClass c;
  c.name = "reader";
  // Two roles of 16 warps: each waits for its half of the part, as a warp waits for the loads of one unrolled turn.
  for (std::uint32_t half = 0; half < 2; ++half) {
    Box own = part;
    own.row_bytes = kPart / 2;
    own.column_step_bytes = kPart;
    own.first_column_byte = half * kPart / 2;
    c.roles.push_back({"half" + std::to_string(half), 16, {LoopBegin{0}, GlobalLoad{own}, WaitLoads{}, LoopEnd{}}});
  }
  p.classes = {c};
  CtaGroup g;
  const std::uint64_t ctas = std::uint64_t{resident} * turns;
  g.extent = {chunks, static_cast<std::uint32_t>((ctas + chunks - 1) / chunks), 1, 1};
  g.loops[0] = {0, static_cast<std::int64_t>(kParts)};
  p.groups = {g};
  p.threads_per_cta = 1024;
  p.registers_per_thread = 32;
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
