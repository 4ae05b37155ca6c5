// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/gemm_tiles.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using hardware::GpuSpec;
using hardware::TensorCoreGeneration;

constexpr std::array<std::uint32_t, 10> kSplits{1, 2, 3, 4, 6, 8, 12, 16, 32, 64};
constexpr std::uint64_t kMostStages = 8;
constexpr std::uint64_t kLeastStepsPerSplit = 4;  // fewer do not fill the pipeline

struct Shape {
  std::uint32_t rows, columns, warps_rows, warps_columns, step_bytes = 128;
};

// Warp-specialised kernels: warps_rows counts consumer warpgroups x 4, each with at least 64 rows. cuBLAS's Hopper
// kernels (nvjet_..._ROWSxCOLUMNS_64xSTAGES_CLUSTER) come in steps of 8 columns; here 16. The fine list is what hides
// wave quantisation on this generation.
std::vector<Shape> wgmma_shapes(GemmTileList list) {
  std::vector<Shape> shapes;
  const bool fine = list == GemmTileList::fine;
  for (std::uint32_t columns = 256; columns >= 16; columns -= 16) {
    if (!fine && !std::has_single_bit(columns)) continue;
    if (columns <= 128) shapes.push_back({256, columns, 8, 1});
    if (fine && columns <= 192) shapes.push_back({192, columns, 12, 1});
    shapes.push_back({128, columns, 8, 1});
    shapes.push_back({64, columns, 4, 1});
  }
  return shapes;
}

// One MMA of 128 rows per CTA; pairs of SMs share the column operand.
constexpr std::array kTcgen05Shapes{Shape{128, 256, 4, 1}, Shape{128, 192, 4, 1}, Shape{128, 128, 4, 1},
                                    Shape{128, 64, 4, 1},  Shape{128, 32, 4, 1},  Shape{128, 16, 4, 1}};

// The tiles of cuBLAS's Ampere kernels, as their names give them (ampere_bf16_s16816gemm_bf16_128x64_..._stages_64x4):
// multiples of 64, at most 256 x 128. Measured times fit worse with a finer list.
constexpr std::array kMmaSyncShapes{Shape{256, 128, 4, 2}, Shape{128, 256, 2, 4}, Shape{256, 64, 4, 1},
                                    Shape{64, 256, 1, 4},  Shape{128, 128, 2, 2}, Shape{128, 64, 2, 2},
                                    Shape{64, 128, 2, 2},  Shape{64, 64, 2, 2}};

// FFMA kernels: 8 x 8 outputs per thread at the large end; eight fp32 values along k per stage.
constexpr std::array kFp32Shapes{Shape{128, 128, 2, 4, 32}, Shape{128, 64, 2, 2, 32}, Shape{64, 64, 2, 2, 32},
                                 Shape{32, 128, 1, 4, 32}};

template <std::size_t n>
std::vector<Shape> as_list(const std::array<Shape, n>& shapes) {
  return {shapes.begin(), shapes.end()};
}

std::vector<Shape> shapes_for(const GemmProblem& problem, TensorCoreGeneration generation, GemmTileList list) {
  if (problem.on_fp32_lanes) return as_list(kFp32Shapes);
  switch (generation) {
    case TensorCoreGeneration::mma_sync:
      return as_list(kMmaSyncShapes);
    case TensorCoreGeneration::wgmma:
      return wgmma_shapes(list);
    case TensorCoreGeneration::tcgen05:
      return as_list(kTcgen05Shapes);
  }
  return {};
}

std::uint64_t output_rows(const GemmProblem& problem, bool swapped) { return swapped ? problem.n : problem.m; }
std::uint64_t output_columns(const GemmProblem& problem, bool swapped) { return swapped ? problem.m : problem.n; }

// A tile more than twice as wide as the problem only adds padding; the smallest shapes always stay.
bool oversized(const Shape& shape, std::uint64_t rows, std::uint64_t columns, std::uint32_t narrowest) {
  return (shape.rows > 64 && shape.rows >= 2 * rows) || (shape.columns > narrowest && shape.columns >= 2 * columns);
}

// Weights that the kernel converts are the register operand, which on wgmma is the row operand.
std::vector<bool> orientations(const GemmProblem& problem, TensorCoreGeneration generation) {
  if (problem.on_fp32_lanes) return {false};
  if (problem.dequantises() && generation != TensorCoreGeneration::mma_sync) return {true};
  if (problem.m <= 64) return {true};
  // Hopper's tiles are coarse in rows (64) and fine in columns: either matrix may be the one in the rows.
  if (generation == TensorCoreGeneration::wgmma) return {false, true};
  if (problem.m <= 192 && problem.n > problem.m) return {false, true};
  return {false};
}

void add_clusters(std::vector<GemmTile>& tiles, const GemmTile& tile, const GemmProblem& problem, const GpuSpec& gpu) {
  tiles.push_back(tile);
  if (gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync || problem.on_fp32_lanes) return;
  if (tile.rows < 128 || tile.columns < 128) return;
  const std::uint64_t rows = ceil_div(output_rows(problem, tile.swapped), tile.rows);
  const std::uint64_t columns = ceil_div(output_columns(problem, tile.swapped), tile.columns);
  GemmTile clustered = tile;
  if (rows % 2 == 0) {
    clustered.cluster = ClusterShape::along_rows;
    tiles.push_back(clustered);
  }
  if (columns % 2 == 0) {
    clustered.cluster = ClusterShape::along_columns;
    tiles.push_back(clustered);
  }
}

std::vector<GemmTile> tiles_for(const GemmProblem& problem, const GpuSpec& gpu, GemmTileList list,
                                bool keep_oversized) {
  const TensorCoreGeneration generation = gpu.sm.tensor.generation;
  const std::uint32_t narrowest = generation == TensorCoreGeneration::mma_sync ? 64 : 16;
  std::vector<GemmTile> tiles;
  for (const bool swapped : orientations(problem, generation)) {
    for (const Shape& shape : shapes_for(problem, generation, list)) {
      if (!keep_oversized &&
          oversized(shape, output_rows(problem, swapped), output_columns(problem, swapped), narrowest)) {
        continue;
      }
      GemmTile tile{shape.rows,       shape.columns,       shape.step_bytes,   2,
                    shape.warps_rows, shape.warps_columns, ClusterShape::none, swapped};
      if (set_stages(tile, problem, gpu)) add_clusters(tiles, tile, problem, gpu);
    }
  }
  return tiles;
}

bool split_helps(const GemmProblem& problem, const GemmTile& tile, std::uint32_t split, const GpuSpec& gpu) {
  if (split == 1) return true;
  const std::uint64_t step = tile.step_bytes * 8 / info(problem.multiply).bits;
  const std::uint64_t ctas = ceil_div(output_rows(problem, tile.swapped), tile.rows) *
                             ceil_div(output_columns(problem, tile.swapped), tile.columns) * problem.batch;
  // Small tiles run two or more to an SM.
  const std::uint64_t slots = gpu.sm_count * (tile.rows * tile.columns <= 64 * 64 ? 2ull : 1ull);
  return ctas < slots && ctas * split <= 2 * slots && ceil_div(problem.k, step) >= split * kLeastStepsPerSplit;
}

}  // namespace

std::uint64_t stage_bytes(const GemmProblem& problem, const GemmTile& tile) {
  const std::uint64_t step = tile.step_bytes * 8 / info(problem.multiply).bits;
  const std::uint64_t weight_rows = tile.swapped ? tile.rows : tile.columns;
  const std::uint64_t activation_rows = tile.swapped ? tile.columns : tile.rows;
  return weight_rows * storage(problem.weight.format, step).count() +
         activation_rows * storage(problem.activation.format, step).count();
}

std::uint64_t epilogue_bytes(const GemmProblem& problem, const GemmTile& tile) {
  const std::uint64_t whole = storage(problem.output, std::uint64_t{tile.rows} * tile.columns).count();
  return std::min<std::uint64_t>(whole, 32 * 1024);
}

bool set_stages(GemmTile& tile, const GemmProblem& problem, const GpuSpec& gpu) {
  const std::uint64_t limit = gpu.sm.shared_memory_per_cta.count();
  const bool asynchronous = gpu.sm.tensor.generation != TensorCoreGeneration::mma_sync && !problem.on_fp32_lanes;
  const std::uint64_t kept = asynchronous ? epilogue_bytes(problem, tile) : 0;  // mma.sync kernels reuse the stages
  if (limit < kept) return false;
  // Classic multistage kernels stop at four stages of 128 bytes and leave room for a second CTA.
  const std::uint64_t most = asynchronous ? kMostStages : (problem.on_fp32_lanes ? 2 : 512 / tile.step_bytes);
  std::uint64_t stages = std::min((limit - kept) / stage_bytes(problem, tile), most);
  if (!asynchronous && tile.step_bytes == 64) stages = std::min<std::uint64_t>(stages, 5);
  tile.stages = static_cast<std::uint32_t>(stages);
  return stages >= 2;
}

std::vector<GemmPlan> gemm_plans(const GemmProblem& problem, const GpuSpec& gpu, GemmTileList list) {
  std::vector<GemmTile> tiles = tiles_for(problem, gpu, list, false);
  if (tiles.empty()) tiles = tiles_for(problem, gpu, list, true);
  std::vector<GemmPlan> plans;
  for (const GemmTile& tile : tiles) {
    for (const std::uint32_t split : kSplits) {
      if (split_helps(problem, tile, split, gpu)) plans.push_back({tile, split});
    }
  }
  if (plans.empty()) throw ConfigError(gpu.name + ": no GEMM tile fits its shared memory");
  return plans;
}

std::string plan_name(const GemmProblem& problem, const GemmPlan& plan) {
  const GemmTile& tile = plan.tile;
  std::string text = fmt::format("{}x{}x{}_s{}", tile.rows, tile.columns,
                                 tile.step_bytes * 8 / info(problem.multiply).bits, tile.stages);
  if (tile.cluster == ClusterShape::along_rows) text += "_c2x1";
  if (tile.cluster == ClusterShape::along_columns) text += "_c1x2";
  if (tile.swapped) text += "_swapped";
  if (plan.mma_sync) text += "_mma_sync";
  if (plan.split > 1) text += fmt::format("_split{}", plan.split);
  return text;
}

}  // namespace lightcone::scenarios
