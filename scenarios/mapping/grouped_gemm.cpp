// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/grouped_gemm.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "scenarios/mapping/gemm_program.h"
#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kIndexBytes = 4;
// Where memory sets the time all tiles take nearly the same; a wider one, later in the list, must gain so much.
constexpr double kWorthWhile = 0.99;

enum class Style : std::uint8_t { cutlass, triton, marlin };

Style style_of(const GemmProblem& problem, const GpuSpec& gpu, KernelLibrary library) {
  if (library != KernelLibrary::vllm && library != KernelLibrary::sglang) return Style::cutlass;
  if (problem.dequantises()) return Style::marlin;
  // From tcgen05 on these libraries call other kernels than Triton's.
  return gpu.sm.tensor.generation == TensorCoreGeneration::tcgen05 ? Style::cutlass : Style::triton;
}

// Experts with the same number of rows, one after another.
struct Run {
  std::uint64_t first_expert = 0, experts = 0, first_row = 0, rows = 0;
};

std::vector<Run> runs_of(const models::GroupedGemm& op) {
  std::vector<Run> runs;
  std::uint64_t expert = 0, row = 0;
  for (const std::uint64_t rows : models::expert_rows(op)) {
    if (rows == 0) break;  // the largest come first
    if (runs.empty() || runs.back().rows != rows) runs.push_back({expert, 0, row, rows});
    ++runs.back().experts;
    ++expert;
    row += rows;
  }
  return runs;
}

// Experts of the op that have rows.
std::uint64_t touched(const std::vector<Run>& runs) { return runs.back().first_expert + runs.back().experts; }

// Rows fetched by index may be read by several experts: each reads its own part of them, spread evenly.
MatrixGroup place(const models::GroupedGemm& op, const std::vector<Run>& runs, const Run& run) {
  MatrixGroup group;
  group.matrices = touched(runs);
  group.first_matrix = run.first_expert;
  group.rows = op.rows;
  group.first_row = run.first_row;
  group.source_rows = op.source_rows == 0 ? op.rows : op.source_rows;
  group.first_source_row = run.first_row;
  group.source_stride = run.rows;
  if (group.source_rows >= op.rows) return group;
  if (run.rows > group.source_rows) {
    throw ConfigError(fmt::format("grouped_gemm: an expert has {} rows of {}", run.rows, group.source_rows));
  }
  const std::uint64_t room = group.source_rows - run.rows;
  group.first_source_row = 0;
  group.source_stride = run.experts == 1 ? 0 : std::min(run.rows, room / (run.experts - 1));
  return group;
}

// ---- The libraries' tiles --------------------------------------------------------------------------------------

std::vector<GemmTile> cutlass_tiles(TensorCoreGeneration generation) {
  std::vector<GemmTile> tiles;
  const auto add = [&](std::uint32_t rows, std::uint32_t columns, std::uint32_t warps_rows, std::uint32_t warps_columns,
                       bool swapped) {
    tiles.push_back({rows, columns, 128, 2, warps_rows, warps_columns, ClusterShape::none, swapped});
  };
  switch (generation) {
    case TensorCoreGeneration::mma_sync:  // CtaShape16x128x64 .. 128x256x64 (TensorRT-LLM, gemm_configs.h)
      add(16, 128, 1, 4, false);
      add(32, 128, 1, 4, false);
      add(64, 128, 2, 2, false);
      add(128, 128, 2, 2, false);
      add(128, 256, 2, 4, false);
      break;
    case TensorCoreGeneration::wgmma:  // CtaShape128x16x128B .. 256x128x128B, tokens in the columns
      for (const std::uint32_t columns : {16u, 32u, 64u, 128u, 256u}) add(128, columns, 8, 1, true);
      add(256, 128, 8, 1, true);
      break;
    case TensorCoreGeneration::tcgen05:  // 8 to 256 tokens per tile
      for (const std::uint32_t columns : {16u, 32u, 64u, 128u, 256u}) add(128, columns, 4, 1, true);
      break;
  }
  return tiles;
}

// What vLLM's benchmark_moe.py tunes over: BLOCK_SIZE_M 16 to 128, N 64 to 256, K 64 or 128, 4 or 8 warps.
std::vector<GemmTile> tuned_triton_tiles() {
  std::vector<GemmTile> tiles;
  for (const std::uint32_t rows : {16u, 32u, 64u, 128u}) {
    for (const std::uint32_t columns : {64u, 128u, 256u}) {
      const bool eight = rows >= 64 && rows * columns >= 128 * 128;
      for (const std::uint32_t step : {128u, 256u}) {
        tiles.push_back({rows, columns, step, 4, rows >= 64 ? (eight ? 8u : 4u) : 1, rows >= 64 ? 1u : 4u,
                         ClusterShape::none, false});
      }
    }
  }
  return tiles;
}

// Tiles of shapes without a tuned file: get_default_config() in vLLM and SGLang (three stages, Triton's default).
GemmTile default_triton_tile(const models::GroupedGemm& op, std::uint64_t tokens) {
  if (op.block_scaled) return {64, 128, 128, 3, 4, 1, ClusterShape::none, false};
  if (tokens <= op.experts) return {16, 32, 128, 3, 1, 4, ClusterShape::none, false};
  return {64, 64, 64, 3, 2, 2, ClusterShape::none, false};
}

// The libraries come with files for whole models on the GPUs they are served on: on Hopper for most, on Ampere for
// Mixtral. Not for the share of the experts that a device has under expert parallelism.
bool has_tuned_file(const models::GroupedGemm& op, TensorCoreGeneration generation) {
  constexpr std::uint64_t kMixtralExperts = 8;
  return op.rows_elsewhere.empty() && (generation != TensorCoreGeneration::mma_sync || op.experts == kMixtralExperts);
}

// moe_block_size 16 to 64 by the rows per expert (fused_marlin_moe), thread_n 128 or 256.
std::vector<GemmTile> marlin_tiles(double rows_per_expert) {
  std::uint32_t rows = 64;
  for (const std::uint32_t fits : {48u, 32u, 16u}) {
    if (rows_per_expert < 0.9 * fits) rows = fits;
  }
  return {{rows, 128, 128, 4, 1, 4, ClusterShape::none, false}, {rows, 256, 128, 4, 1, 8, ClusterShape::none, false}};
}

// Tokens of all devices, of which the library knows besides its own experts.
std::uint64_t all_tokens(const models::GroupedGemm& op) {
  if (op.source_rows != 0) return op.source_rows;
  return ceil_div(std::accumulate(op.rows_elsewhere.begin(), op.rows_elsewhere.end(), op.rows), op.top_k);
}

std::vector<GemmTile> tiles_of(const models::GroupedGemm& op, TensorCoreGeneration generation, Style style) {
  const std::uint64_t tokens = all_tokens(op);
  switch (style) {
    case Style::cutlass:
      return cutlass_tiles(generation);
    case Style::triton:
      if (has_tuned_file(op, generation)) return tuned_triton_tiles();
      return {default_triton_tile(op, tokens)};
    case Style::marlin:
      break;
  }
  return marlin_tiles(static_cast<double>(tokens * op.top_k) / static_cast<double>(op.experts));
}

std::vector<GemmPlan> plans(const models::GroupedGemm& op, const GemmProblem& problem, const GpuSpec& gpu,
                            Style style) {
  std::vector<GemmPlan> out;
  for (GemmTile tile : tiles_of(op, gpu.sm.tensor.generation, style)) {
    const std::uint32_t most_stages = tile.stages;
    if (!set_stages(tile, problem, gpu)) continue;
    GemmPlan plan{tile, 1};
    if (style != Style::cutlass) {
      plan.tile.stages = std::min(tile.stages, most_stages);
      plan.warps = GemmWarps::alike;
      plan.mma_sync = style == Style::marlin || tile.rows < 64;
    }
    out.push_back(plan);
    // Pairs of CTAs that share the tokens; the weights' rows are the same for every expert.
    if (tile.swapped && tile.columns >= 64 && ceil_div(op.n, tile.rows) % 2 == 0) {
      plan.tile.cluster = ClusterShape::along_rows;
      out.push_back(plan);
    }
  }
  return out;
}

// ---- One program of all experts ----------------------------------------------------------------------------------

// Triton's and Marlin's CTAs look up their expert and the indices of their rows before the first load.
void look_up_rows(TileProgram& program, const GemmPlan& plan, std::uint64_t rows) {
  const auto tensor = static_cast<std::uint32_t>(program.tensors.size());
  program.tensors.push_back({"indices", Bytes(rows * kIndexBytes), Residency::warm, false});
  for (CtaClass& cta : program.classes) {
    const Box tile = std::get<GlobalStore>(cta.roles[0].ops.back()).box;
    Box indices;
    indices.tensor = tensor;
    indices.row_bytes = plan.tile.rows * kIndexBytes;
    indices.column_var = tile.row_var;
    indices.column_extent_bytes = tile.row_extent * kIndexBytes;
    for (std::size_t i = 0; i < 2; ++i) {  // where the product's rows begin, in indices instead of rows
      const auto pitch = static_cast<std::int64_t>(tile.row_pitch_bytes);
      indices.outer[i] = {tile.outer[i].var,
                          tile.outer[i].stride_bytes / pitch * static_cast<std::int64_t>(kIndexBytes)};
    }
    std::vector<Op>& ops = cta.roles[0].ops;
    const std::vector<Op> first{GlobalLoad{indices}, WaitLoads{}};
    ops.insert(ops.begin(), first.begin(), first.end());
  }
}

// CTAs of a Triton grid without a product of their own: those of rows of other devices' experts write zeros, those
// beyond the last tile only find that out. The grid has room for every expert's last tile being full but for one row.
void add_empty_tiles(TileProgram& program, const models::GroupedGemm& op, const std::vector<Run>& runs,
                     const GemmPlan& plan) {
  const std::uint64_t tile = plan.tile.rows, column_tiles = ceil_div(op.n, plan.tile.columns);
  std::uint64_t used = 0, elsewhere = 0, zero_tiles = 0;
  for (const Run& run : runs) used += run.experts * ceil_div(run.rows, tile);
  for (const std::uint64_t rows : op.rows_elsewhere) {
    elsewhere += rows;
    zero_tiles += ceil_div(rows, tile);
  }
  const std::uint64_t experts = op.experts + op.rows_elsewhere.size();
  const std::uint64_t rows = op.rows + elsewhere;
  const std::uint64_t padded = std::min(rows + experts * (tile - 1), rows * tile);
  const std::uint64_t empty = ceil_div(padded, tile) - std::min(used + zero_tiles, ceil_div(padded, tile));
  const auto add = [&](const char* label, std::uint64_t row_tiles, std::vector<Op> ops) {
    if (row_tiles == 0) return;
    if (row_tiles * column_tiles > UINT32_MAX) throw ConfigError("grouped_gemm: more than 2^32 CTAs");
    add_class(program, {label, {Role{"warps", program.threads_per_cta / 32, std::move(ops)}}, {}},
              {row_tiles, column_tiles, 1, 1});
  };
  const auto indices = static_cast<std::uint32_t>(program.tensors.size() - 1);
  Box count;  // the padded rows, or the tile's expert
  count.tensor = indices;
  count.row_bytes = count.column_extent_bytes = kIndexBytes;
  if (elsewhere > 0) {
    // The rows of all those experts as one block behind the device's own.
    const std::uint64_t pitch = storage(op.output, op.n).count();
    Box zeros = tile_box({2, rows, pitch, pitch, {}, 0}, Var::cta0, tile, Var::cta1,
                         storage(op.output, plan.tile.columns).count());
    zeros.first_row = op.rows;
    program.tensors[2].bytes = Bytes(rows * pitch);
    std::vector<Op> ops;
    append(ops, GlobalLoad{count}, WaitLoads{}, GlobalStore{zeros, CopyPath::lsu});
    add("zeros", std::max(zero_tiles, ceil_div(elsewhere, tile)), std::move(ops));
  }
  std::vector<Op> ops;
  append(ops, GlobalLoad{count}, WaitLoads{});
  add("beyond the end", empty, std::move(ops));
}

// The products of one run beside those of the runs before.
void add_run(TileProgram& program, TileProgram part) {
  if (program.classes.empty()) {
    program = std::move(part);
  } else {
    append_class(program, std::move(part));
  }
}

TileProgram grouped_program(const models::GroupedGemm& op, const std::vector<Run>& runs, const GemmPlan& plan,
                            const GpuSpec& gpu, Style style) {
  TileProgram program;
  for (const Run& run : runs) {
    GemmProblem problem = gemm_problem(op, run.experts, run.rows, gpu);
    // Marlin's weights are packed in blocks of 16 x 64 in the order of the loads: runs of bytes across k.
    problem.weight.k_contiguous = style != Style::marlin;
    problem.group = place(op, runs, run);
    add_run(program, gemm_program(problem, plan, gpu).front());
  }
  if (style != Style::cutlass) look_up_rows(program, plan, op.rows);
  if (style == Style::triton) add_empty_tiles(program, op, runs, plan);
  return program;
}

// Gradients of the weights: each expert's product has its own k.
TileProgram weight_gradient_program(const models::Backward<models::GroupedGemm>& op, const std::vector<Run>& runs,
                                    const GemmPlan& plan, const GpuSpec& gpu) {
  TileProgram program;
  for (const Run& run : runs) {
    GemmProblem problem = gemm_problem(op, run.experts, run.rows, gpu);
    MatrixGroup group;
    group.weight_gradient = true;
    group.matrices = touched(runs);
    group.first_matrix = run.first_expert;
    group.rows = op.forward.rows;
    group.first_row = run.first_row;
    problem.group = group;
    add_run(program, gemm_program(problem, plan, gpu).front());
  }
  return program;
}

// Marlin's output where it skips rows.
TileProgram zero_fill(std::uint64_t bytes) {
  constexpr std::uint64_t kPerCta = 256 * 16;
  std::vector<Op> ops;
  append(ops, GlobalStore{tile_box({0, 1, bytes, bytes, {}, 0}, Var::none, 1, Var::cta0, kPerCta), CopyPath::lsu});
  return one_role("zero_fill", {8, 16, 0}, {{"output", Bytes(bytes), Residency::warm, true}}, std::move(ops),
                  {ceil_div(bytes, kPerCta), 1, 1, 1});
}

struct Cheapest {
  KernelSequence sequence;
  std::size_t seen = 0;  // plans whose kernel fits an SM
  double seconds = std::numeric_limits<double>::infinity();
};

// The plan with the smallest predicted time. Throws ConfigError when the kernel of none fits an SM.
template <class MakeProgram>
Cheapest cheapest(const std::vector<GemmPlan>& plans, const GpuSpec& gpu, const MappingOptions& options,
                  const std::string& kind, const GemmProblem& problem, const MakeProgram& make) {
  EvaluateOptions evaluate;
  evaluate.launch = options.launch;
  evaluate.timeline = false;
  Cheapest best;
  for (const GemmPlan& plan : plans) {
    TileProgram program = make(plan);
    if (occupancy(program, gpu.sm) == 0) continue;
    ++best.seen;
    const double time = evaluate_analytical(program, gpu, evaluate).time.count();
    if (time >= kWorthWhile * best.seconds) continue;
    best.seconds = time;
    best.sequence.note = kind + " " + plan_name(problem, plan);
    best.sequence.kernels = {std::move(program)};
  }
  if (best.sequence.kernels.empty()) throw ConfigError(gpu.name + ": no grouped GEMM kernel fits one of its SMs");
  return best;
}

}  // namespace

KernelSequence choose_grouped_weight_gradient(const models::Backward<models::GroupedGemm>& op, const GpuSpec& gpu,
                                              const MappingOptions& options) {
  (void)models::cost(models::Operator(op));  // sizes fit
  const std::vector<Run> runs = runs_of(op.forward);
  const GemmProblem problem = gemm_problem(op, 1, runs.front().rows, gpu);
  std::vector<GemmPlan> plans = gemm_plans(problem, gpu, GemmTileList::powers_of_two);
  std::erase_if(plans, [](const GemmPlan& plan) { return plan.split > 1; });
  Cheapest best = cheapest(plans, gpu, options, "grouped_gemm weight gradient", problem,
                           [&](const GemmPlan& plan) { return weight_gradient_program(op, runs, plan, gpu); });
  best.sequence.note += fmt::format(" of {} experts", touched(runs));
  return best.sequence;
}

KernelSequence choose_grouped_gemm(const models::GroupedGemm& op, const GpuSpec& gpu, const MappingOptions& options) {
  (void)models::cost(op);  // sizes fit
  const std::vector<Run> runs = runs_of(op);
  // Stages and arithmetic are the same for every expert.
  const GemmProblem problem = gemm_problem(op, 1, runs.front().rows, gpu);
  const Style style = style_of(problem, gpu, options.library);
  Cheapest best = cheapest(plans(op, problem, gpu, style), gpu, options, "grouped_gemm", problem,
                           [&](const GemmPlan& plan) { return grouped_program(op, runs, plan, gpu, style); });
  if (style == Style::marlin && !op.rows_elsewhere.empty()) {
    const std::uint64_t rows = op.rows + std::accumulate(op.rows_elsewhere.begin(), op.rows_elsewhere.end(), 0ull);
    best.sequence.kernels.insert(best.sequence.kernels.begin(), zero_fill(storage(op.output, rows * op.n).count()));
  }
  best.sequence.note +=
      fmt::format(" of {} experts, {} plans, {:.2f} us predicted", touched(runs), best.seen, best.seconds * 1e6);
  return best.sequence;
}

}  // namespace lightcone::scenarios
