// SPDX-License-Identifier: Apache-2.0
// What the attention kernels share: how queries are dealt to tiles, which key blocks a tile sees, and the loads,
// products, softmax work and stores of one tile. CTA coordinates: cta0 = query tile, cta1 = head within its group (or,
// with split keys, the part), cta2 = KV head, cta3 = sequence.
// With `packed`, the query heads of one KV head share the rows of a tile (row = query * group + head); Q and O are then
// addressed as if stored grouped by KV head: the same bytes, other addresses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/attention_plan.h"
#include "scenarios/mapping/matrix_view.h"

namespace lightcone::scenarios {

enum class Score : std::uint8_t { plain, masked };

class AttentionLayout {
 public:
  AttentionLayout(const models::Attention& op, const AttentionPlan& plan, const hardware::GpuSpec& gpu);

  [[nodiscard]] hardware::TileProgram start(const std::string& kernel) const;
  // loop0: the tile's key blocks; loop1: one fewer, so that the last (or first) block can stand outside its loop.
  [[nodiscard]] std::vector<hardware::CtaGroup> groups() const;

  [[nodiscard]] hardware::LoadTile load_q(std::uint8_t pipe) const;
  // Packed rows do not form a TMA box of Q as stored: the multiplying warps gather their share themselves, before
  // anything else of the tile, so that it cannot be fetched ahead (FlashAttention-3 PackGQA).
  [[nodiscard]] std::vector<hardware::Op> gather_q(std::uint32_t share, std::uint32_t shares) const;
  [[nodiscard]] hardware::LoadTile load_k(std::uint8_t pipe, hardware::Var loop, std::uint32_t ahead) const;
  [[nodiscard]] hardware::LoadTile load_v(std::uint8_t pipe, hardware::Var loop) const;

  // One block of V, within shared memory.
  [[nodiscard]] std::vector<hardware::Op> transpose_v() const;

  // S = Q K^T of key block value(loop) + ahead, and O += P V of block value(loop), by one of `shares` of the rows (of
  // the columns of O, with values_by_columns).
  [[nodiscard]] hardware::Mma scores(std::uint32_t share, std::uint32_t shares, hardware::Var loop,
                                     std::uint32_t ahead) const;
  [[nodiscard]] hardware::Mma values(std::uint32_t share, std::uint32_t shares, hardware::Var loop) const;
  // Online softmax of one block of scores; `masked` adds the comparisons of all the tile's masked blocks at once.
  [[nodiscard]] std::vector<hardware::Op> softmax(std::uint32_t shares, Score score) const;
  // O += P V of a block whose products were summed apart, with what the registers do not hold spilled and read back:
  // to the L1, or through it to the L2 where shared memory leaves too little of it.
  [[nodiscard]] std::vector<hardware::Op> promote(std::uint32_t share) const;
  // By one warpgroup, per block.
  [[nodiscard]] std::uint64_t spilled_bytes() const;
  [[nodiscard]] hardware::VectorWork rescale(std::uint32_t shares) const;
  // Normalise and store O; with split keys the fp32 partial result and its log-sum-exp.
  [[nodiscard]] std::vector<hardware::Op> finish(std::uint32_t share, std::uint32_t shares,
                                                 hardware::CopyPath path) const;
  // One of the two; programs whose parts are dealt need both.
  [[nodiscard]] std::vector<hardware::Op> finish_whole(std::uint32_t share, std::uint32_t shares,
                                                       hardware::CopyPath path) const;
  [[nodiscard]] std::vector<hardware::Op> finish_part(std::uint32_t share, std::uint32_t shares) const;
  // Address set-up of a work item: scheduler, and the block table of a paged cache.
  [[nodiscard]] hardware::Delay set_up() const;

  // The kernel that merges the partial results of split keys; it only looks at the number of parts where that is one.
  [[nodiscard]] hardware::TileProgram combine() const;

 private:
  [[nodiscard]] hardware::TileProgram idle_combine() const;
  [[nodiscard]] hardware::LoopRange blocks_of(std::uint64_t tile) const;
  MatrixView add_queries(const char* name, std::uint64_t dim, NumberFormat format, bool written);
  MatrixView add_keys(const char* name, std::uint64_t dim);
  void add_partial_results();
  [[nodiscard]] hardware::VectorWork normalise(std::uint32_t shares) const;
  [[nodiscard]] hardware::Box output_box(const MatrixView& view, std::uint32_t share, std::uint32_t shares) const;
  [[nodiscard]] hardware::Box share_box(const MatrixView& view, std::uint32_t share, std::uint32_t shares) const;
  [[nodiscard]] std::uint64_t query_of(std::uint64_t row) const { return row / row_divisor_; }
  void add_spills(const hardware::GpuSpec& gpu);
  // KV heads of consecutive sequences whose tiles are launched together.
  struct Section {
    std::uint64_t first_head, heads, first_sequence, sequences;
  };
  // `runs`: groups that each section will take.
  [[nodiscard]] std::vector<Section> sections(std::uint64_t runs) const;
  void add_group(std::vector<hardware::CtaGroup>& groups, const Section& section, std::uint64_t tile,
                 std::uint64_t tiles, hardware::LoopRange blocks) const;

  models::Attention op_;
  AttentionPlan plan_;
  hardware::TensorCoreGeneration generation_;
  std::uint64_t group_;  // query heads per KV head
  std::uint64_t rows_;   // query rows that tiles divide
  std::uint64_t tiles_;
  std::uint32_t sm_count_;
  std::uint32_t row_divisor_;
  std::uint64_t keys_;  // that any query sees
  std::uint64_t window_;
  bool masked_;
  bool spills_beyond_l1_ = false;
  std::vector<hardware::Tensor> tensors_;
  MatrixView q_, k_, v_, o_, partial_, sums_;
};

}  // namespace lightcone::scenarios
