// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/backward_rows.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "scenarios/mapping/stream_program.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kPerThread = 8;  // 16-bit values of one 16-byte access
constexpr std::uint64_t kMostThreads = 1024;
constexpr std::uint64_t kReductionCycles = 150;  // shuffles of a warp, one hand-over through shared memory
constexpr std::uint64_t kPartBits = 32;          // fp32 sums

std::uint64_t bits_of(NumberFormat format) { return info(format).bits; }

// CTAs of whole rows, at least four warps; registers let half the threads of an SM be resident.
StreamShape row_shape(std::uint64_t rows, std::uint64_t columns) {
  const std::uint64_t threads =
      std::clamp<std::uint64_t>(round_up(ceil_div(columns, kPerThread), 32), 32, kMostThreads);
  StreamShape shape;
  shape.units = rows;
  shape.units_per_turn = std::max<std::uint64_t>(1, 128 / threads);
  shape.threads = static_cast<std::uint32_t>(threads * shape.units_per_turn);
  shape.registers = 64;
  return shape;
}

// As many CTAs as the GPU holds at once.
void fill_gpu(StreamShape& shape, const GpuSpec& gpu) {
  const std::uint64_t resident = std::max<std::uint64_t>(1, 1024 / shape.threads);
  shape.turns = turns_for(shape.units, shape.units_per_turn, gpu.sm_count * resident);
}

// One row of fp32 sums per CTA.
GlobalStore store_sums(std::uint32_t tensor, const StreamGrid& grid, std::uint64_t columns) {
  const std::uint64_t row = columns * kPartBits / 8;
  return {tile_box({tensor, grid.numbers, row, row, {}, 0}, Var::cta0, 1), CopyPath::lsu};
}

Tensor sums_tensor(const StreamGrid& grid, std::uint64_t columns) {
  return {"partial_sums", Bytes(grid.numbers * columns * kPartBits / 8), Residency::warm, true};
}

}  // namespace

TileProgram clear_program(std::uint64_t bytes) {
  StreamShape shape;
  shape.units = bytes;
  shape.threads = 512;
  shape.registers = 16;
  shape.units_per_turn = 512 * 16 * 4;
  return stream_program("clear", shape, {{"cleared", 8, StreamUse::write, Residency::cold}},
                        {lane_work(0, 4 * 512, 0, 0)});
}

TileProgram sum_parts_program(std::uint64_t parts, std::uint64_t columns, NumberFormat output, bool accumulates) {
  StreamShape shape;
  shape.units = columns;
  shape.units_per_turn = 32;  // a warp's columns; further warps take further rows
  shape.threads = 256;
  shape.registers = 32;
  const std::uint64_t values = shape.units_per_turn * parts;
  return stream_program(fmt::format("sum_{}_parts_{}", parts, name(output)), shape,
                        {{"partial_sums", parts * kPartBits},
                         {"output", bits_of(output), accumulates ? StreamUse::update : StreamUse::write}},
                        {lane_work(values, values, 0, kReductionCycles, values)});
}

std::vector<TileProgram> norm_backward_programs(const models::Backward<models::Norm>& op, const GpuSpec& gpu) {
  const models::Norm& n = op.forward;
  const models::Cost cost = models::cost(models::Operator(op));
  StreamShape shape = row_shape(n.rows, n.columns);
  fill_gpu(shape, gpu);
  const StreamGrid grid = stream_grid(shape);
  const bool layer = n.kind == models::NormKind::layer;
  const std::uint64_t row = n.columns * bits_of(n.format), results = layer ? 2 : 1;
  std::vector<Stream> streams{{"input", row, StreamUse::read, Residency::cold},
                              {"output_gradient", row},
                              {"statistics", results * 32, StreamUse::read, Residency::cold}};
  if (n.residual) streams.push_back({"stream_gradient", row});
  if (n.gated) streams.push_back({"gate", row, StreamUse::read, Residency::cold});
  streams.push_back({"input_gradient", row, StreamUse::write});
  if (n.gated) streams.push_back({"gate_gradient", row, StreamUse::write});
  const std::uint64_t elements = shape.units_per_turn * n.columns;
  const std::uint64_t flops = cost.vector_flops.count() / n.rows * shape.units_per_turn;
  const std::uint64_t conversions = (streams.size() - 1) * elements;
  const auto sums = static_cast<std::uint32_t>(streams.size());
  const MatrixView weights{sums + static_cast<std::uint32_t>(results), 1, row / 8, row / 8, {}, 0};
  std::vector<Op> at_end;
  for (std::uint32_t i = 0; i < results; ++i) append(at_end, store_sums(sums + i, grid, n.columns));
  TileProgram main = stream_program(
      fmt::format("{}{}norm_backward_{}", n.gated ? "gated_" : "", layer ? "layer" : "rms", name(n.format)), shape,
      streams,
      {lane_work(flops * 2 / 3 + conversions, elements / 2, n.gated ? 2 * elements : 0, 2 * kReductionCycles, flops)},
      at_end, {GlobalLoad{tile_box(weights, Var::none, 1)}, WaitLoads{}});
  for (std::uint32_t i = 0; i < results; ++i) main.tensors.push_back(sums_tensor(grid, n.columns));
  main.tensors.push_back({"weights", Bytes(row / 8), Residency::cold, false});
  main.shared_memory_per_cta = Bytes(4096);
  std::vector<TileProgram> programs{std::move(main)};
  for (std::uint32_t i = 0; i < results; ++i) {
    programs.push_back(sum_parts_program(grid.whole + grid.rest, n.columns, op.weight_gradient, op.accumulates));
  }
  return programs;
}

// Rows are dealt over as many CTAs as the GPU holds; a CTA adds up its rows.
std::vector<TileProgram> column_sum_programs(const models::ColumnSum& op, const GpuSpec& gpu) {
  StreamShape shape = row_shape(op.rows, op.columns);
  fill_gpu(shape, gpu);
  const StreamGrid grid = stream_grid(shape);
  const std::uint64_t elements = shape.units_per_turn * op.columns;
  TileProgram main =
      stream_program(fmt::format("column_sum_{}", name(op.format)), shape, {{"input", op.columns * bits_of(op.format)}},
                     {lane_work(2 * elements, elements / 4, 0, 0, elements)}, {store_sums(1, grid, op.columns)});
  main.tensors.push_back(sums_tensor(grid, op.columns));
  std::vector<TileProgram> programs{std::move(main)};
  programs.push_back(sum_parts_program(grid.whole + grid.rest, op.columns, op.output, op.accumulates));
  return programs;
}

TileProgram softmax_backward_program(const models::Backward<models::Softmax>& op) {
  const models::Softmax& s = op.forward;
  const StreamShape shape = row_shape(s.rows, s.columns);
  const std::uint64_t row = s.columns * bits_of(s.format), elements = shape.units_per_turn * s.columns;
  return stream_program(fmt::format("softmax_backward_{}", name(s.format)), shape,
                        {{"output", row, StreamUse::read, Residency::cold},
                         {"output_gradient", row},
                         {"input_gradient", row, StreamUse::write}},
                        {lane_work(6 * elements, elements / 2, 0, kReductionCycles, 4 * elements)});
}

TileProgram elementwise_backward_program(const models::Backward<models::Elementwise>& op) {
  const models::Elementwise& e = op.forward;
  const models::ElementwiseBackwardInfo& kind = models::backward_info(e.kind);
  constexpr std::uint64_t kThreads = 128, kPerAccess = 4;  // PyTorch's vectorized_elementwise_kernel
  StreamShape shape;
  shape.units = e.elements;
  shape.units_per_turn = kThreads * kPerAccess;
  shape.threads = kThreads;
  shape.registers = 40;
  std::vector<Stream> streams{{"output_gradient", bits_of(e.output)}};
  for (std::uint32_t i = 0; i < kind.saved; ++i) {
    streams.push_back({"saved", bits_of(e.input), StreamUse::read, Residency::cold});
  }
  for (std::uint32_t i = 0; i < kind.gradients; ++i) {
    streams.push_back({"input_gradient", bits_of(e.input), StreamUse::write});
  }
  const std::uint64_t n = shape.units_per_turn;
  return stream_program(fmt::format("elementwise_{}_backward_{}", models::name(e.kind), name(e.input)), shape, streams,
                        {lane_work(n * (kind.flops + streams.size()), n / kPerAccess * streams.size() * 2,
                                   n * kind.special, 0, n * kind.flops)});
}

std::vector<TileProgram> embedding_backward_programs(const models::Backward<models::EmbeddingGather>& op) {
  const models::EmbeddingGather& e = op.forward;
  (void)models::cost(models::Operator(op));  // sizes fit
  constexpr std::uint64_t kIndexBytes = 4;
  if (e.tokens > UINT32_MAX) throw ConfigError("embedding: more than 2^32 tokens");
  const std::uint64_t gradient_row = e.columns * bits_of(e.format) / 8;
  const std::uint64_t row = e.columns * bits_of(op.weight_gradient) / 8;
  // As in the forward kernel: tokens spread evenly over the vocabulary, come round again when there are more.
  const std::uint64_t distinct = std::min(e.tokens, e.vocabulary);
  MatrixView gradients{0, e.tokens, gradient_row, gradient_row, {}, 0};
  const std::uint64_t index_row = kIndexBytes * (e.positions ? 2 : 1);  // of the token, and of its position
  MatrixView indices{1, e.tokens, index_row, index_row, {}, 0};
  const MatrixView table{2, distinct, row, e.vocabulary / distinct * row, {}, 0};
  gradients.outer[0] = {Var::cta1, static_cast<std::int64_t>(distinct * gradient_row)};
  indices.outer[0] = {Var::cta1, static_cast<std::int64_t>(distinct * index_row)};
  TileProgram program;
  program.name = fmt::format("embedding_backward_{}", name(op.weight_gradient));
  program.tensors = {{"gradients", Bytes(e.tokens * gradient_row), Residency::warm, false},
                     {"indices", Bytes(e.tokens * index_row), Residency::cold, false},
                     {"table_gradient", Bytes(e.vocabulary * row), Residency::cold, true}};
  program.threads_per_cta = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(round_up(ceil_div(e.columns, kPerThread), 32), 32, kMostThreads));
  program.registers_per_thread = 32;
  Role role{"threads", program.threads_per_cta / 32, {}};
  append(role.ops, GlobalLoad{tile_box(indices, Var::cta0, 1)}, GlobalLoad{tile_box(gradients, Var::cta0, 1)},
         WaitLoads{}, lane_work(2 * e.columns, e.columns / 2, 0, 0, e.columns),
         GlobalLoad{tile_box(table, Var::cta0, 1)}, WaitLoads{},
         GlobalStore{tile_box(table, Var::cta0, 1), CopyPath::lsu});
  if (e.positions) {
    MatrixView learned{3, e.tokens, row, row, {}, 0};
    learned.outer[0] = {Var::cta1, static_cast<std::int64_t>(distinct * row)};
    program.tensors.push_back({"position_gradient", Bytes(e.tokens * row), Residency::cold, true});
    append(role.ops, GlobalLoad{tile_box(learned, Var::cta0, 1)}, WaitLoads{},
           GlobalStore{tile_box(learned, Var::cta0, 1), CopyPath::lsu});
  }
  program.classes = {{"token", {role}, {}}};
  add_rounds(program, e.tokens, distinct);
  std::vector<TileProgram> programs;
  if (!op.accumulates) programs.push_back(clear_program(e.vocabulary * row));
  programs.push_back(std::move(program));
  return programs;
}

TileProgram gather_backward_program(const models::Backward<models::GatherRows>& op) {
  const models::GatherRows& g = op.forward;
  (void)models::cost(models::Operator(op));
  const std::uint64_t sources = std::min(g.rows, g.source_rows), copies = ceil_div(g.rows, sources);
  const StreamShape shape = row_shape(sources, g.columns);
  const std::uint64_t row = g.columns * bits_of(g.format), elements = shape.units_per_turn * g.columns;
  return stream_program(fmt::format("gather_rows_backward_{}", name(g.format)), shape,
                        {{"indices", copies * 32, StreamUse::read, Residency::cold},
                         {"copies", copies * row},
                         {"gradient", row, StreamUse::write}},
                        {lane_work((copies + 1) * elements, copies * elements / 4, 0, 30, (copies - 1) * elements)});
}

TileProgram combine_backward_program(const models::Backward<models::CombineRows>& op) {
  const models::CombineRows& c = op.forward;
  (void)models::cost(models::Operator(op));
  const StreamShape shape = row_shape(c.rows, c.columns);
  const std::uint64_t row = c.columns * bits_of(c.format);
  const std::uint64_t elements = shape.units_per_turn * c.parts * c.columns;
  return stream_program(fmt::format("combine_rows_backward_{}", name(c.format)), shape,
                        {{"output_gradient", row},
                         {"expert_rows", c.parts * row, StreamUse::read, Residency::cold},
                         {"indices, weights", c.parts * 64, StreamUse::read, Residency::cold},
                         {"row_gradients", c.parts * row, StreamUse::write},
                         {"weight_gradients", c.parts * 32, StreamUse::write}},
                        {lane_work(4 * elements, elements / 4, 0, kReductionCycles, 3 * elements)});
}

TileProgram top_k_backward_program(const models::Backward<models::TopK>& op) {
  const models::TopK& t = op.forward;
  (void)models::cost(models::Operator(op));
  const StreamShape shape = row_shape(t.rows, t.columns);
  const std::uint64_t elements = shape.units_per_turn * t.columns;
  return stream_program(fmt::format("top_k_backward_{}", name(t.format)), shape,
                        {{"gradients", t.k * bits_of(t.format)},
                         {"indices", t.k * 32, StreamUse::read, Residency::cold},
                         {"score_gradients", t.columns * bits_of(t.format), StreamUse::write}},
                        {lane_work(elements, elements, 0, 30)});
}

TileProgram cross_entropy_program(const models::CrossEntropy& op) {
  (void)models::cost(models::Operator(op));
  if (op.rows > UINT32_MAX) throw ConfigError("cross_entropy: more than 2^32 rows");
  constexpr std::uint64_t kThreads = 1024, kBlock = 32768;  // Liger Kernel: 32 warps, blocks of at most 2^15 values
  const std::uint64_t block = std::min(kBlock, round_up(op.vocabulary, kThreads));
  const std::uint64_t row = storage(op.format, op.vocabulary).count();
  const Box piece =
      tile_box({0, op.rows, row, row, {}, 0}, Var::cta0, 1, Var::loop0, storage(op.format, block).count());
  Box again = piece;
  again.column_var = Var::loop1;
  const auto per_row = [&](std::uint32_t tensor) { return tile_box({tensor, op.rows, 4, 4, {}, 0}, Var::cta0, 1); };
  TileProgram program;
  program.name = fmt::format("cross_entropy_{}", name(op.format));
  program.tensors = {{"logits", Bytes(row * op.rows), Residency::warm, true},
                     {"labels", Bytes(4 * op.rows), Residency::cold, false},
                     {"losses", Bytes(4 * op.rows), Residency::warm, true}};
  program.threads_per_cta = kThreads;
  program.registers_per_thread = 64;
  program.shared_memory_per_cta = Bytes(1024);
  Role role{"threads", kThreads / 32, {}};
  append(role.ops, GlobalLoad{per_row(1)}, LoopBegin{0}, GlobalLoad{piece}, WaitLoads{},
         lane_work(4 * block, block, block, 2 * kReductionCycles, 3 * block), LoopEnd{}, LoopBegin{1},
         GlobalLoad{again}, WaitLoads{}, lane_work(4 * block, block / 2, block, 40, block),
         GlobalStore{again, CopyPath::lsu}, LoopEnd{}, GlobalStore{per_row(2), CopyPath::lsu});
  program.classes = {{"row", {role}, {}}};
  CtaGroup group;
  group.extent[0] = static_cast<std::uint32_t>(op.rows);
  const auto blocks = static_cast<std::int64_t>(ceil_div(op.vocabulary, block));
  group.loops = {LoopRange{0, blocks}, LoopRange{0, blocks}};
  program.groups = {group};
  return program;
}

}  // namespace lightcone::scenarios
