// SPDX-License-Identifier: Apache-2.0
// The tile shapes that a GEMM library offers per tensor-core generation, as cuBLAS and CUTLASS profiles show them.
// Ampere: multiples of 64, at most 256 x 128. Hopper: 64 to 256 rows, columns in steps of 16 (or powers of two in older
// libraries). Blackwell: 128 rows. Without tensor cores: the FFMA kernels' own short list.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/spec/gpu_spec.h"
#include "scenarios/mapping/gemm_problem.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

enum class ClusterShape : std::uint8_t {
  none,
  along_rows,     // two CTAs, one above the other: they share the column operand
  along_columns,  // two CTAs side by side: they share the row operand
};

// One CTA's tile. Rows and columns are those of the multiply instruction (its M and N). `swapped`: the instruction's
// rows run along the output's columns, so that few tokens fill the narrow side.
struct GemmTile {
  std::uint32_t rows = 128, columns = 128;
  std::uint32_t step_bytes = 128;  // bytes of one operand row that one pipeline stage holds
  std::uint32_t stages = 3;
  std::uint32_t warps_rows = 2, warps_columns = 2;  // how the CTA's multiplying warps divide the tile
  ClusterShape cluster = ClusterShape::none;
  bool swapped = false;

  [[nodiscard]] std::uint32_t warps() const { return warps_rows * warps_columns; }
};

// How the warps of a CTA share the work: as the generation's own kernels do it, or all of them copying (cp.async) and
// multiplying whatever the generation, as Triton compiles loops over gathered rows and as Marlin is written.
enum class GemmWarps : std::uint8_t { specialised, alike };

struct GemmPlan {
  GemmTile tile;
  std::uint32_t split = 1;  // parts of k that different CTAs sum
  GemmWarps warps = GemmWarps::specialised;
  bool mma_sync = false;  // multiplies by mma.sync where the generation has a faster instruction
};

// Shared memory of one stage of both operands, and of the staging buffer of the epilogue.
std::uint64_t stage_bytes(const GemmProblem& problem, const GemmTile& tile);
std::uint64_t epilogue_bytes(const GemmProblem& problem, const GemmTile& tile);

// Sets as many stages as the shared memory holds: deep enough to hide HBM. False when not even two fit.
bool set_stages(GemmTile& tile, const GemmProblem& problem, const hardware::GpuSpec& gpu);

// Every plan worth asking about for this problem: tiles that fit the shared memory, not far larger than the problem,
// with splits of k where the tiles alone leave SMs idle. Never empty for a problem the GPU can run.
std::vector<GemmPlan> gemm_plans(const GemmProblem& problem, const hardware::GpuSpec& gpu,
                                 GemmTileList list = GemmTileList::fine);

// "128x256x64_s4" plus cluster, swap and split marks.
std::string plan_name(const GemmProblem& problem, const GemmPlan& plan);

}  // namespace lightcone::scenarios
