// SPDX-License-Identifier: Apache-2.0
// What every GEMM kernel shares, whatever the generation: tensors, the grid and its raster order, the parts of k, and
// the loads, products and stores of one tile. The kernels (gemm_program.h: WGMMA,
// tcgen05, multistage) differ in how they arrange these over warps and pipeline stages.
#pragma once

#include <cstdint>
#include <vector>

#include "hardware/program/tile_program.h"
#include "scenarios/mapping/gemm_tiles.h"
#include "scenarios/mapping/matrix_view.h"

namespace lightcone::scenarios {

class GemmLayout {
 public:
  GemmLayout(const GemmProblem& problem, const GemmPlan& plan, const hardware::GpuSpec& gpu);

  // The program with its tensors and name; classes, resources and groups are the kernel's to fill.
  [[nodiscard]] hardware::TileProgram start(const std::string& generation) const;

  // One group per part of k. loop0 runs over the part's k-steps; loop1 skips `peeled_front` of them and stops
  // `peeled_back` before the end, for kernels that peel steps off their main loop.
  [[nodiscard]] std::vector<hardware::CtaGroup> groups(std::int64_t peeled_front, std::int64_t peeled_back) const;
  [[nodiscard]] std::uint64_t fewest_steps() const { return steps_ / plan_.split; }

  // Loads of both operands for the k-step value(loop) + ahead into the current stage of `pipe`.
  [[nodiscard]] std::vector<hardware::Op> load_step(std::uint8_t pipe, hardware::Var loop, std::uint64_t ahead,
                                                    hardware::CopyPath path) const;
  // The product of one step by share `share` of `shares` (along the tile's rows), with what dequantisation it needs.
  [[nodiscard]] std::vector<hardware::Op> multiply_step(std::uint32_t share, std::uint32_t shares, hardware::Var loop,
                                                        std::uint64_t ahead) const;
  // Registers to global memory: convert, stage in shared memory, store; with split k, fp32 partial sums straight out.
  [[nodiscard]] std::vector<hardware::Op> store_share(std::uint32_t share, std::uint32_t shares,
                                                      hardware::CopyPath path) const;
  // The bias of the share's columns, or nothing.
  [[nodiscard]] std::vector<hardware::Op> load_bias(std::uint32_t share, std::uint32_t shares) const;

  // Pairs of SMs that work on one tile of twice the rows, each holding half of the column operand.
  [[nodiscard]] bool paired() const {
    return generation_ == hardware::TensorCoreGeneration::tcgen05 && plan_.tile.cluster == ClusterShape::along_rows;
  }
  [[nodiscard]] std::uint32_t cluster_size() const { return plan_.tile.cluster == ClusterShape::none ? 1 : 2; }
  [[nodiscard]] bool split() const { return plan_.split > 1; }

 private:
  void place_group(const MatrixGroup& group);
  [[nodiscard]] hardware::Box output_box(const MatrixView& view, std::uint64_t element_bits, std::uint32_t share,
                                         std::uint32_t shares) const;
  [[nodiscard]] hardware::Box operand_box(const MatrixView& view, const GemmOperand& operand, hardware::Var tile_var,
                                          std::uint32_t tile, hardware::Var loop, std::uint64_t ahead) const;
  [[nodiscard]] std::uint32_t raster_band() const;

  GemmProblem problem_;
  GemmPlan plan_;
  hardware::TensorCoreGeneration generation_;  // whose instruction multiplies
  // On Hopper mma.sync reaches 62 % of the rate of wgmma (Luo et al., IPDPS 2024): the same product takes 8/5 of the
  // tensor core's time.
  bool slowed_;
  std::uint32_t sm_count_;
  std::uint64_t step_;            // elements of k per step
  std::uint64_t steps_;           // of the whole k
  std::uint64_t rows_, columns_;  // of the instruction's output: m x n, or n x m when swapped
  hardware::Var row_var_, column_var_;
  GemmOperand row_operand_, column_operand_;
  std::vector<hardware::Tensor> tensors_;
  MatrixView row_view_, column_view_, output_view_, partial_view_, bias_view_;
};

// The kernel that sums the partial results of split k into the output (cuBLAS splitKreduce).
hardware::TileProgram split_k_reduce(const GemmProblem& problem, std::uint32_t split);

}  // namespace lightcone::scenarios
