// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/row_kernels.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using namespace hardware;

constexpr std::uint64_t kElementsPerThread = 8;  // one 16-byte access of 16-bit values
constexpr std::uint64_t kMostThreads = 1024;
constexpr std::uint64_t kRegisterRowBytes = 64 * 1024;  // a row that the registers of one CTA hold
constexpr std::uint64_t kReductionCycles = 150;         // shuffles of a warp, one hand-over through shared memory

// How rows are dealt to CTAs.
struct RowShape {
  std::uint64_t threads, rows_per_cta, ctas;
};

RowShape row_shape(std::uint64_t rows, std::uint64_t columns) {
  const std::uint64_t threads =
      std::clamp<std::uint64_t>(round_up(ceil_div(columns, kElementsPerThread), 32), 32, kMostThreads);
  const std::uint64_t rows_per_cta = std::max<std::uint64_t>(1, 128 / threads);  // at least four warps
  const std::uint64_t ctas = ceil_div(rows, rows_per_cta);
  if (ctas > UINT32_MAX) throw ConfigError("a row kernel would need more than 2^32 CTAs");
  return {threads * rows_per_cta, rows_per_cta, ctas};
}

TileProgram rows_program(std::string name, const RowShape& shape, std::vector<Tensor> tensors, std::vector<Op> ops) {
  // Shared memory: partial sums of the warps.
  const CtaShape cta{static_cast<std::uint32_t>(shape.threads / 32), shape.threads > 512 ? 64u : 48u, 1024};
  return one_role(std::move(name), cta, std::move(tensors), std::move(ops), {shape.ctas, 1, 1, 1});
}

MatrixView row_matrix(std::uint32_t tensor, std::uint64_t rows, std::uint64_t row_bytes) {
  return {tensor, rows, row_bytes, row_bytes, {}, 0};
}

VectorWork work(std::uint64_t lane_ops, std::uint64_t flops, std::uint64_t special, std::uint64_t elements,
                std::uint64_t chain) {
  return lane_work(lane_ops, elements / 2, special, chain, flops);
}

// vLLM's rms_norm_kernel: one CTA per row, which walks the row twice, one 2-byte value per thread and turn; the loads
// of the next turn wait for the arithmetic of this one. What such a kernel has in flight, not the memory, sets its
// pace.
TileProgram scalar_rms_norm(const models::Norm& op) {
  const std::uint64_t row_bytes = storage(op.format, op.columns).count();
  const std::uint64_t threads = std::min(kMostThreads, round_up(op.columns, 32));
  const std::uint64_t piece_bytes = storage(op.format, threads).count();
  const Bytes all(row_bytes * op.rows);
  const auto piece = [&](std::uint32_t tensor, Var loop, bool rows) {
    return tile_box(row_matrix(tensor, rows ? op.rows : 1, row_bytes), rows ? Var::cta0 : Var::none, 1, loop,
                    piece_bytes);
  };
  std::vector<Op> ops;
  append(ops, LoopBegin{0}, GlobalLoad{piece(0, Var::loop0, true)}, WaitLoads{},
         work(2 * threads, 2 * threads, 0, 4 * threads, 0), LoopEnd{}, work(0, 0, 1, 0, kReductionCycles),
         CtaBarrier{0}, LoopBegin{1}, GlobalLoad{piece(0, Var::loop1, true)}, GlobalLoad{piece(1, Var::loop1, false)},
         WaitLoads{}, work(3 * threads, 2 * threads, 0, 6 * threads, 0), GlobalStore{piece(2, Var::loop1, true)},
         LoopEnd{});
  TileProgram program = rows_program(fmt::format("rmsnorm_{}_scalar", name(op.format)), {threads, 1, op.rows},
                                     {{"input", all, Residency::warm, false},
                                      {"weights", Bytes(row_bytes), Residency::cold, false},
                                      {"output", all, Residency::warm, true}},
                                     std::move(ops));
  const auto turns = static_cast<std::int64_t>(ceil_div(op.columns, threads));
  program.groups[0].loops = {LoopRange{0, turns}, LoopRange{0, turns}};
  program.registers_per_thread = 32;
  return program;
}

}  // namespace

TileProgram norm_program(const models::Norm& op, KernelLibrary library) {
  if (op.rows == 0 || op.columns == 0) throw ConfigError("norm: rows and columns must be at least 1");
  checked_product("norm bytes", {op.rows, op.columns, 64});
  const bool layer = op.kind == models::NormKind::layer;
  const std::uint64_t row_bytes = storage(op.format, op.columns).count();
  // vLLM's rms_norm_kernel and PyTorch's layer_norm come back to the row after the statistics instead of keeping it.
  if (!layer && !op.residual && !op.gated && library == KernelLibrary::vllm && op.rows <= UINT32_MAX)
    return scalar_rms_norm(op);
  const bool rereads = library == (layer ? KernelLibrary::pytorch_eager : KernelLibrary::vllm);
  const bool twice = row_bytes > kRegisterRowBytes || rereads;
  const RowShape shape = row_shape(op.rows, op.columns);
  const Bytes all(row_bytes * op.rows);
  const std::uint64_t weight_bytes = row_bytes * (layer ? 2 : 1);
  std::vector<Tensor> tensors{{"input", all, Residency::warm, false},
                              {"weights", Bytes(weight_bytes), Residency::cold, false},
                              {"output", all, Residency::warm, true}};
  const Box input = tile_box(row_matrix(0, op.rows, row_bytes), Var::cta0, shape.rows_per_cta);
  const std::uint64_t elements = shape.rows_per_cta * op.columns;
  std::vector<Op> ops;
  append(ops, GlobalLoad{input});
  if (op.residual) {
    tensors.push_back({"residual", all, Residency::warm, true});
    const Box residual = tile_box(row_matrix(3, op.rows, row_bytes), Var::cta0, shape.rows_per_cta);
    append(ops, GlobalLoad{residual}, WaitLoads{}, work(2 * elements, elements, 0, elements, 0),
           GlobalStore{residual, CopyPath::lsu});
  }
  if (op.gated) {  // silu(z) * x before the statistics: exp and reciprocal per element
    tensors.push_back({"gate", all, Residency::warm, false});
    append(ops,
           GlobalLoad{tile_box(row_matrix(static_cast<std::uint32_t>(tensors.size() - 1), op.rows, row_bytes),
                               Var::cta0, shape.rows_per_cta)},
           WaitLoads{}, work(3 * elements, 3 * elements, 2 * elements, elements, 0));
  }
  append(ops, GlobalLoad{tile_box(row_matrix(1, 1, weight_bytes), Var::none, 1)}, WaitLoads{},
         work((layer ? 4 : 2) * elements, (layer ? 4 : 2) * elements, shape.rows_per_cta, elements,
              kReductionCycles * (layer ? 2 : 1)),
         CtaBarrier{0});
  if (twice) append(ops, GlobalLoad{input}, WaitLoads{});
  append(ops, work((layer ? 4 : 3) * elements, (layer ? 3 : 2) * elements, 0, elements, 0),
         GlobalStore{tile_box(row_matrix(2, op.rows, row_bytes), Var::cta0, shape.rows_per_cta), CopyPath::lsu});
  return rows_program(fmt::format("{}{}norm_{}{}", op.gated ? "gated_" : "", layer ? "layer" : "rms", name(op.format),
                                  twice ? "_two_reads" : ""),
                      shape, std::move(tensors), std::move(ops));
}

TileProgram softmax_program(const models::Softmax& op) {
  if (op.rows == 0 || op.columns == 0) throw ConfigError("softmax: rows and columns must be at least 1");
  checked_product("softmax bytes", {op.rows, op.columns, 64});
  const std::uint64_t row_bytes = storage(op.format, op.columns).count();
  const bool twice = row_bytes > kRegisterRowBytes;
  const RowShape shape = row_shape(op.rows, op.columns);
  const Bytes all(row_bytes * op.rows);
  const Box input = tile_box(row_matrix(0, op.rows, row_bytes), Var::cta0, shape.rows_per_cta);
  const std::uint64_t elements = shape.rows_per_cta * op.columns;
  std::vector<Op> ops;
  append(ops, GlobalLoad{input}, WaitLoads{}, work(2 * elements, elements, 0, elements, kReductionCycles),
         CtaBarrier{0});
  if (twice) append(ops, GlobalLoad{input}, WaitLoads{});
  append(ops, work(2 * elements, 2 * elements, elements + shape.rows_per_cta, 0, kReductionCycles), CtaBarrier{0},
         work(2 * elements, elements, 0, 0, 0),
         GlobalStore{tile_box(row_matrix(1, op.rows, row_bytes), Var::cta0, shape.rows_per_cta), CopyPath::lsu});
  return rows_program(fmt::format("softmax_{}{}", name(op.format), twice ? "_two_reads" : ""), shape,
                      {{"input", all, Residency::warm, false}, {"output", all, Residency::warm, true}}, std::move(ops));
}

TileProgram rotary_program(const models::Rotary& op) {
  if (op.tokens == 0 || op.heads == 0 || op.kv_heads == 0 || op.head_dim == 0 || op.rotary_dim > op.head_dim) {
    throw ConfigError("rotary: sizes must be at least 1 and rotary_dim at most head_dim");
  }
  if (op.rotary_dim == 0 && !op.writes_kv_cache) throw ConfigError("rotary: nothing to rotate and nothing to append");
  checked_product("rotary bytes", {op.tokens, op.heads + 2 * op.kv_heads, op.head_dim, 64});
  // One CTA per token, as serving libraries launch it.
  const std::uint64_t all_heads = op.heads + op.kv_heads;
  const std::uint64_t values = std::max(all_heads * op.rotary_dim, 2 * op.kv_heads * op.head_dim);
  RowShape shape{std::clamp<std::uint64_t>(round_up(ceil_div(values, kElementsPerThread), 32), 32, 512), 1, op.tokens};
  if (op.tokens > UINT32_MAX) throw ConfigError("rotary: more than 2^32 tokens");
  std::vector<Tensor> tensors;
  std::vector<Op> ops, stores;
  // `heads` rows per token of which the first `used` values are read or written.
  const auto head_rows = [&](std::string label, NumberFormat format, std::uint64_t heads, std::uint64_t first,
                             std::uint64_t used, bool written) {
    const std::uint64_t pitch = storage(format, op.head_dim).count();
    MatrixView view{static_cast<std::uint32_t>(tensors.size()),
                    op.tokens * heads,
                    storage(format, used).count(),
                    pitch,
                    {},
                    storage(format, first).count()};
    tensors.push_back({std::move(label), Bytes(op.tokens * heads * pitch), Residency::warm, written});
    return tile_box(view, Var::cta0, heads);
  };
  std::uint64_t lane_ops = 0;
  if (op.rotary_dim > 0) {
    const Box q_and_k = head_rows("q_and_k", op.activation, all_heads, 0, op.rotary_dim, true);
    const std::uint64_t table = storage(op.activation, op.rotary_dim).count();
    const MatrixView angles{1, op.tokens, table, table, {}, 0};
    tensors.push_back({"angles", Bytes(table * op.tokens), Residency::warm, false});
    append(ops, GlobalLoad{q_and_k}, GlobalLoad{tile_box(angles, Var::cta0, 1)});
    append(stores, GlobalStore{q_and_k, CopyPath::lsu});
    lane_ops += all_heads * op.rotary_dim * 4;
  }
  if (op.writes_kv_cache) {
    if (op.rotary_dim < op.head_dim) {
      append(ops, GlobalLoad{head_rows("k_rest", op.activation, op.kv_heads, op.rotary_dim, op.head_dim - op.rotary_dim,
                                       false)});
    }
    append(ops, GlobalLoad{head_rows("v", op.activation, op.kv_heads, 0, op.head_dim, false)});
    append(stores, GlobalStore{head_rows("k_cache", op.kv, op.kv_heads, 0, op.head_dim, true), CopyPath::lsu},
           GlobalStore{head_rows("v_cache", op.kv, op.kv_heads, 0, op.head_dim, true), CopyPath::lsu});
    lane_ops += 2 * op.kv_heads * op.head_dim;
  }
  append(ops, WaitLoads{}, work(lane_ops, 3 * all_heads * op.rotary_dim, 0, values, 0), std::move(stores));
  return rows_program(fmt::format("{}_{}", op.rotary_dim == 0 ? "kv_append" : "rotary", name(op.activation)), shape,
                      std::move(tensors), std::move(ops));
}

TileProgram embedding_program(const models::EmbeddingGather& op) {
  if (op.tokens == 0 || op.vocabulary == 0 || op.columns == 0) throw ConfigError("embedding: a size is zero");
  checked_product("embedding bytes", {std::max(op.tokens, op.vocabulary), op.columns, 64});
  if (op.tokens > UINT32_MAX) throw ConfigError("embedding: more than 2^32 tokens");
  constexpr std::uint64_t kIndexBytes = 4;
  const std::uint64_t row = storage(op.format, op.columns).count();
  const RowShape shape{
      std::clamp<std::uint64_t>(round_up(ceil_div(op.columns, kElementsPerThread), 32), 32, kMostThreads), 1,
      op.tokens};
  // Tokens are taken to be spread evenly over the vocabulary; more tokens than words come round again.
  const std::uint64_t distinct = std::min(op.tokens, op.vocabulary);
  const MatrixView table{0, distinct, row, op.vocabulary / distinct * row, {}, 0};
  MatrixView output{1, op.tokens, row, row, {}, 0};
  MatrixView indices{2, op.tokens, kIndexBytes, kIndexBytes, {}, 0};
  std::vector<Tensor> tensors{
      {"table", Bytes(op.vocabulary * row), Residency::cold, false},
      {"output", Bytes(op.tokens * row), Residency::warm, true},
      {"indices", Bytes(op.tokens * kIndexBytes * (op.positions ? 2 : 1)), Residency::warm, false}};
  output.outer[0] = {Var::cta1, static_cast<std::int64_t>(distinct * row)};
  indices.outer[0] = {Var::cta1, static_cast<std::int64_t>(distinct * kIndexBytes)};
  std::vector<Op> ops;
  append(ops, GlobalLoad{tile_box(indices, Var::cta0, 1)}, WaitLoads{}, GlobalLoad{tile_box(table, Var::cta0, 1)});
  if (op.positions) {
    MatrixView learned{3, op.tokens, row, row, {}, 0};
    learned.outer[0] = output.outer[0];
    tensors.push_back({"positions", Bytes(op.tokens * row), Residency::cold, false});
    indices.outer[1] = {Var::none, 0};
    Box second = tile_box(indices, Var::cta0, 1);
    second.first_row = op.tokens;
    second.row_extent = 2 * op.tokens;
    append(ops, GlobalLoad{second}, GlobalLoad{tile_box(learned, Var::cta0, 1)});
  }
  append(ops, WaitLoads{}, work(op.positions ? 2 * op.columns : 0, op.positions ? op.columns : 0, 0, op.columns / 4, 0),
         GlobalStore{tile_box(output, Var::cta0, 1), CopyPath::lsu});
  TileProgram program =
      rows_program(fmt::format("embedding_{}", name(op.format)), shape, std::move(tensors), std::move(ops));
  program.groups.clear();
  add_rounds(program, op.tokens, distinct);
  return program;
}

}  // namespace lightcone::scenarios
