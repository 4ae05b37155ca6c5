// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/gemm_layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using namespace hardware;

constexpr std::uint64_t kPartialBytes = 4;  // fp32 partial sums
constexpr std::uint64_t kScaleBlock = 128;  // values along k that share a scale

// Work per converted weight, from the register-to-register sequences of Marlin and CUTLASS mixed-input kernels: one
// bit-field instruction and one FP32-lane instruction for two packed values, plus its share of the scale product.
constexpr double kDequantiseInt = 0.5, kDequantiseFp32 = 0.75;

// Outer lanes of an FFMA kernel: instructions per multiply-add grow as register tiles shrink, because operands come
// from shared memory in 16-byte loads: (mr + nr) / 4 loads and some other instructions per mr x nr FFMA.
constexpr double kFfmaOverhead = 1.7;  // fitted to NeuSight's fp32 measurements on A100 and H100
double ffma_efficiency(double mr, double nr) { return mr * nr / (mr * nr + (mr + nr) / 4 + kFfmaOverhead); }

MatrixView operand_view(std::uint32_t tensor, const GemmOperand& operand, std::uint64_t rows, std::uint64_t k) {
  MatrixView view;
  view.tensor = tensor;
  view.rows = operand.k_contiguous ? rows : k;
  view.row_bytes = storage(operand.format, operand.k_contiguous ? k : rows).count();
  view.pitch_bytes = view.row_bytes;
  view.outer[0] = {Var::cta2, static_cast<std::int64_t>(view.rows * view.pitch_bytes)};
  return view;
}

MatrixView output_matrix(std::uint32_t tensor, std::uint64_t rows, std::uint64_t row_bytes) {
  MatrixView view{tensor, rows, row_bytes, row_bytes, {}, 0};
  view.outer[0] = {Var::cta2, static_cast<std::int64_t>(rows * row_bytes)};
  return view;
}

std::uint64_t view_bytes(const MatrixView& view) { return view.rows * view.pitch_bytes; }

// Matrix number value(cta2) of a group starts so many bytes in, and the next one `stride` further on.
void place(MatrixView& view, std::uint64_t first_bytes, std::uint64_t stride_bytes) {
  // cta3 is 1 all over the group: a constant.
  view.outer = {Term{Var::cta2, static_cast<std::int64_t>(stride_bytes)},
                Term{Var::cta3, static_cast<std::int64_t>(first_bytes)}};
}

}  // namespace

GemmLayout::GemmLayout(const GemmProblem& problem, const GemmPlan& plan, const GpuSpec& gpu)
    : problem_(problem),
      plan_(plan),
      generation_(plan.mma_sync ? TensorCoreGeneration::mma_sync : gpu.sm.tensor.generation),
      slowed_(plan.mma_sync && gpu.sm.tensor.generation != TensorCoreGeneration::mma_sync),
      sm_count_(gpu.sm_count) {
  const GemmTile& tile = plan_.tile;
  step_ = tile.step_bytes * 8 / info(problem_.multiply).bits;
  steps_ = ceil_div(problem_.k, step_);
  rows_ = tile.swapped ? problem_.n : problem_.m;
  columns_ = tile.swapped ? problem_.m : problem_.n;
  // cta0 varies fastest, and the CTAs of a cluster are neighbours.
  const bool columns_first = tile.cluster == ClusterShape::along_columns;
  row_var_ = columns_first ? Var::cta1 : Var::cta0;
  column_var_ = columns_first ? Var::cta0 : Var::cta1;
  row_operand_ = tile.swapped ? problem_.weight : problem_.activation;
  column_operand_ = tile.swapped ? problem_.activation : problem_.weight;

  row_view_ = operand_view(0, row_operand_, rows_, problem_.k);
  column_view_ = operand_view(1, column_operand_, columns_, problem_.k);
  output_view_ = output_matrix(2, problem_.m, storage(problem_.output, problem_.n).count());
  const std::uint64_t batch = problem_.batch;
  tensors_ = {{"row_operand", Bytes(view_bytes(row_view_) * batch), row_operand_.residency, false},
              {"column_operand", Bytes(view_bytes(column_view_) * batch), column_operand_.residency, false}};
  if (split()) {
    partial_view_ = output_matrix(2, problem_.m, problem_.n * kPartialBytes);
    const std::uint64_t part = view_bytes(partial_view_) * batch;
    partial_view_.outer[1] = {Var::cta3, static_cast<std::int64_t>(part)};
    tensors_.push_back({"partial_sums", Bytes(part * plan_.split), Residency::warm, true});
    return;
  }
  // Gradients of the micro batch before have left the cache.
  tensors_.push_back({"output", Bytes(view_bytes(output_view_) * batch),
                      problem_.accumulates ? Residency::cold : Residency::warm, true});
  if (problem_.bias) {
    bias_view_ = MatrixView{3, 1, output_view_.row_bytes, output_view_.row_bytes, {}, 0};
    tensors_.push_back({"bias", Bytes(output_view_.row_bytes), Residency::cold, false});
  }
  if (problem_.group) place_group(*problem_.group);
}

void GemmLayout::place_group(const MatrixGroup& group) {
  MatrixView& weights = plan_.tile.swapped ? row_view_ : column_view_;
  MatrixView& activations = plan_.tile.swapped ? column_view_ : row_view_;
  if (group.weight_gradient) {
    for (MatrixView* rows : {&weights, &activations}) {
      place(*rows, group.first_row * rows->pitch_bytes, problem_.k * rows->pitch_bytes);
      tensors_[rows->tensor].bytes = Bytes(group.rows * rows->pitch_bytes);
    }
    const std::uint64_t gradient = view_bytes(output_view_);
    place(output_view_, group.first_matrix * gradient, gradient);
    tensors_[output_view_.tensor].bytes = Bytes(group.matrices * gradient);
    return;
  }
  const std::uint64_t matrix = view_bytes(weights);
  place(weights, group.first_matrix * matrix, matrix);
  place(activations, group.first_source_row * activations.pitch_bytes, group.source_stride * activations.pitch_bytes);
  place(output_view_, group.first_row * output_view_.pitch_bytes, problem_.m * output_view_.pitch_bytes);
  tensors_[weights.tensor].bytes = Bytes(group.matrices * matrix);
  tensors_[activations.tensor].bytes = Bytes(group.source_rows * activations.pitch_bytes);
  tensors_[output_view_.tensor].bytes = Bytes(group.rows * output_view_.pitch_bytes);
  if (!problem_.bias) return;
  place(bias_view_, group.first_matrix * bias_view_.pitch_bytes, bias_view_.pitch_bytes);
  tensors_[bias_view_.tensor].bytes = Bytes(group.matrices * bias_view_.pitch_bytes);
}

TileProgram GemmLayout::start(const std::string& generation) const {
  TileProgram program;
  program.name =
      fmt::format("{}_{}_{}_{}", problem_.kind, generation, name(problem_.multiply), plan_name(problem_, plan_));
  program.tensors = tensors_;
  program.cluster_size = cluster_size();
  if (problem_.accumulates && !split()) program.name += "_accumulate";
  return program;
}

// Tiles that run at once should form a square of operand bytes, so that the L2 cache serves the most re-reads.
std::uint32_t GemmLayout::raster_band() const {
  const GemmTile& tile = plan_.tile;
  const bool columns_first = tile.cluster == ClusterShape::along_columns;
  const double fast = columns_first ? tile.columns : tile.rows;
  const double slow = columns_first ? tile.rows : tile.columns;
  const double ideal = std::sqrt(sm_count_ * slow / fast);
  std::uint32_t band = 2;  // a multiple of every cluster size
  while (band * 1.5 < ideal) band *= 2;
  const std::uint64_t extent = columns_first ? ceil_div(columns_, tile.columns) : ceil_div(rows_, tile.rows);
  return extent > band ? band : 0;
}

std::vector<CtaGroup> GemmLayout::groups(std::int64_t peeled_front, std::int64_t peeled_back) const {
  const GemmTile& tile = plan_.tile;
  const std::uint64_t row_tiles = ceil_div(rows_, tile.rows);
  const std::uint64_t column_tiles = ceil_div(columns_, tile.columns);
  if (row_tiles > UINT32_MAX || column_tiles > UINT32_MAX || problem_.batch > UINT32_MAX) {
    throw ConfigError(problem_.kind + ": the grid of tiles is larger than 2^32 in one dimension");
  }
  std::vector<CtaGroup> groups;
  std::uint64_t first = 0;
  for (std::uint32_t part = 0; part < plan_.split; ++part) {
    const std::uint64_t count = steps_ / plan_.split + (part < steps_ % plan_.split ? 1 : 0);
    CtaGroup group;
    const std::size_t row_axis = row_var_ == Var::cta0 ? 0 : 1;
    group.extent[row_axis] = static_cast<std::uint32_t>(row_tiles);
    group.extent[1 - row_axis] = static_cast<std::uint32_t>(column_tiles);
    group.extent[2] = static_cast<std::uint32_t>(problem_.batch);
    group.origin[3] = problem_.group ? 1 : part;
    group.band = raster_band();
    const auto signed_first = static_cast<std::int64_t>(first);
    const auto signed_count = static_cast<std::int64_t>(count);
    group.loops[0] = {signed_first, signed_count};
    group.loops[1] = {signed_first + peeled_front, signed_count - peeled_front - peeled_back};
    groups.push_back(group);
    first += count;
  }
  return groups;
}

Box GemmLayout::operand_box(const MatrixView& view, const GemmOperand& operand, Var tile_var, std::uint32_t tile,
                            Var loop, std::uint64_t ahead) const {
  if (operand.k_contiguous) {
    Box box = tile_box(view, tile_var, tile, loop, storage(operand.format, step_).count());
    box.first_column_byte = ahead * box.row_bytes;
    return box;
  }
  Box box = tile_box(view, loop, step_, tile_var, storage(operand.format, tile).count());
  box.first_row = ahead * step_;
  return box;
}

std::vector<Op> GemmLayout::load_step(std::uint8_t pipe, Var loop, std::uint64_t ahead, CopyPath path) const {
  const GemmTile& tile = plan_.tile;
  const auto shared_by = [&](ClusterShape shape) -> std::uint8_t { return tile.cluster == shape ? 2 : 1; };
  return {LoadTile{pipe, operand_box(row_view_, row_operand_, row_var_, tile.rows, loop, ahead), path,
                   shared_by(ClusterShape::along_columns)},
          LoadTile{pipe, operand_box(column_view_, column_operand_, column_var_, tile.columns, loop, ahead), path,
                   shared_by(ClusterShape::along_rows), paired()}};
}

std::vector<Op> GemmLayout::multiply_step(std::uint32_t share, std::uint32_t shares, Var loop,
                                          std::uint64_t ahead) const {
  const GemmTile& tile = plan_.tile;
  const std::uint32_t rows = tile.rows / shares;
  if (problem_.on_fp32_lanes) {
    const double threads = 32.0 * tile.warps();
    const double outputs = static_cast<double>(tile.rows) * tile.columns / threads;
    const double mr = std::min(8.0, outputs / 4), nr = outputs / mr;
    VectorWork work;
    const double multiply_adds = static_cast<double>(rows) * tile.columns * static_cast<double>(step_);
    work.fp32_ops = static_cast<std::uint64_t>(multiply_adds / ffma_efficiency(mr, nr) + 0.5);
    work.fp32_flops = static_cast<std::uint64_t>(2 * multiply_adds);
    const auto loads = static_cast<std::uint64_t>(multiply_adds * 4 * (mr + nr) / (mr * nr) / 8);  // half broadcast
    return {SharedAccess{loads, 0}, work};
  }
  std::vector<Op> ops;
  Mma mma;
  mma.m = rows;
  mma.n = tile.columns;
  mma.k = static_cast<std::uint32_t>(step_);
  mma.format = problem_.multiply;
  // mma.sync: each warp loads its rows of one operand and its columns of the other. wgmma: every 64-row instruction
  // reads the whole column operand. tcgen05: one instruction spans the tile.
  const std::uint64_t column_readers = generation_ == TensorCoreGeneration::mma_sync ? tile.warps_rows
                                       : generation_ == TensorCoreGeneration::wgmma  ? rows / 64
                                                                                     : 1;
  const std::uint64_t column_share = paired() ? 2 : 1;  // the other SM of the pair reads its half for both
  mma.shared_read_bytes = tile.warps_columns * storage(row_operand_.format, step_).count() * rows +
                          column_readers * storage(column_operand_.format, step_).count() * tile.columns / column_share;
  mma.useful.m_var = row_var_;
  mma.useful.m_step = tile.rows;
  mma.useful.m_first = std::uint64_t{share} * rows;
  mma.useful.m_extent = rows_;
  mma.useful.n_var = column_var_;
  mma.useful.n_step = tile.columns;
  mma.useful.n_extent = columns_;
  mma.useful.k_var = loop;
  mma.useful.k_step = step_;
  mma.useful.k_extent = problem_.k > ahead * step_ ? problem_.k - ahead * step_ : 0;
  if (problem_.dequantises()) {
    const double weights = static_cast<double>(step_) * (tile.swapped ? rows : tile.columns);
    VectorWork work;
    work.int_ops = static_cast<std::uint64_t>(weights * kDequantiseInt);
    work.fp32_ops = static_cast<std::uint64_t>(weights * kDequantiseFp32);
    ops.emplace_back(work);
    if (tile.swapped) mma.a = OperandSource::registers;
  }
  ops.emplace_back(mma);
  if (slowed_) {
    Mma rest = mma;  // the time that the slower instruction takes beyond the faster one's; no work
    rest.k = static_cast<std::uint32_t>(ceil_div(3 * step_, 5));
    rest.shared_read_bytes = 0;
    rest.useful = {};
    rest.useful.m_extent = 0;
    ops.emplace_back(rest);
  }
  if (problem_.block_scaled) {
    // The tensor core starts from zero in each block; one multiply-add per partial sum (DeepGEMM, fp8_gemm_1d2d.cuh),
    // and in Triton's fused_moe_kernel a product of the two scales more.
    VectorWork promote;
    const std::uint64_t blocks = std::max<std::uint64_t>(1, step_ / kScaleBlock);
    promote.fp32_ops = blocks * rows * tile.columns * (plan_.warps == GemmWarps::alike ? 2 : 1);
    append(ops, MmaWait{0}, promote);
  }
  return ops;
}

Box GemmLayout::output_box(const MatrixView& view, std::uint64_t element_bits, std::uint32_t share,
                           std::uint32_t shares) const {
  const GemmTile& tile = plan_.tile;
  const std::uint64_t rows = tile.rows / shares;
  const auto bytes = [&](std::uint64_t elements) { return (elements * element_bits + 7) / 8; };
  if (!tile.swapped) {
    Box box = tile_box(view, row_var_, rows, column_var_, bytes(tile.columns));
    box.row_step = tile.rows;
    box.first_row = share * rows;
    return box;
  }
  Box box = tile_box(view, column_var_, tile.columns, row_var_, bytes(rows));
  box.column_step_bytes = bytes(tile.rows);
  box.first_column_byte = share * bytes(rows);
  return box;
}

std::vector<Op> GemmLayout::load_bias(std::uint32_t share, std::uint32_t shares) const {
  if (!problem_.bias || split()) return {};
  Box box = output_box(bias_view_, info(problem_.output).bits, share, shares);
  box.row_var = Var::none;
  box.first_row = 0;
  box.rows = 1;
  box.row_step = 0;
  return {GlobalLoad{box}};
}

std::vector<Op> GemmLayout::store_share(std::uint32_t share, std::uint32_t shares, CopyPath path) const {
  const GemmTile& tile = plan_.tile;
  const std::uint64_t elements = std::uint64_t{tile.rows / shares} * tile.columns;
  VectorWork convert;
  convert.int_ops = elements / 8;  // addresses, one per 16 bytes
  if (split()) {
    return {convert, GlobalStore{output_box(partial_view_, kPartialBytes * 8, share, shares), CopyPath::lsu}};
  }
  // Scale and convert, add.
  convert.fp32_ops = elements * (1 + (problem_.bias ? 1 : 0) + (problem_.accumulates ? 1 : 0));
  std::vector<Op> ops;
  if (problem_.accumulates) {
    ops.emplace_back(GlobalLoad{output_box(output_view_, info(problem_.output).bits, share, shares)});
  }
  if (problem_.bias || problem_.accumulates) ops.emplace_back(WaitLoads{});
  const std::uint64_t staged = storage(problem_.output, elements).count();
  ops.emplace_back(convert);
  const Box output = output_box(output_view_, info(problem_.output).bits, share, shares);
  if (path == CopyPath::lsu) {
    // mma.sync leaves 8 neighbouring columns of a row in the registers of 4 threads; the library's kernels store them
    // from there (measured: about 13 bytes per clock and SM on A100, whatever the tile).
    ops.emplace_back(GlobalStore{output, path, static_cast<std::uint16_t>(storage(problem_.output, 8).count())});
  } else {
    ops.emplace_back(SharedAccess{0, staged});
    ops.emplace_back(GlobalStore{output, path});
  }
  return ops;
}

}  // namespace lightcone::scenarios
