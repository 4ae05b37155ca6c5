// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/selection_kernels.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint32_t kWarps = 4;
constexpr std::uint64_t kSetUpInts = 20 * 32 * kWarps;

// ---- Pooling ---------------------------------------------------------------------------------------------------

constexpr std::uint64_t kPoolColumns = 1024, kPoolRows = 32;

// `rows`: of the blocks of this class.
std::vector<Op> pool_block(const models::PoolRows& op, std::uint64_t rows, std::uint64_t columns) {
  const std::uint64_t row = storage(op.format, op.columns).count(), part = storage(op.format, kPoolColumns).count();
  const std::uint64_t results = op.bounds ? 2 : 1;
  MatrixView input{0, rows, row, row, {}, 0};
  input.outer = {Term{Var::cta1, stride(op.stride * row)}, Term{Var::cta2, stride(op.rows * row)}, Term{}};
  const auto piece = [&](std::uint64_t count, bool looped) {
    Box box = tile_box(input, looped ? Var::loop0 : Var::none, count, Var::cta0, part);
    if (!looped) box.first_row = rows - count;
    std::vector<Op> ops;
    // A multiply-add, or two comparisons on the integer pipe, and a conversion.
    append(ops, GlobalLoad{box}, WaitLoads{},
           lane_work(count * kPoolColumns * (op.bounds ? 1 : 2), count * kPoolColumns * (op.bounds ? 2 : 0), 0,
                     4 * count / 8, 2 * count * columns));
    return ops;
  };
  std::vector<Op> ops;
  append(ops, lane_work(0, kSetUpInts, 0, 60));
  if (!op.bounds) {
    const std::uint64_t weights = storage(op.format, op.block).count();
    append(ops, GlobalLoad{tile_box({2, 1, weights, weights, {}, 0}, Var::none, 1)});
  }
  if (rows >= kPoolRows) append(ops, LoopBegin{0}, piece(kPoolRows, true), LoopEnd{});
  if (rows % kPoolRows > 0) append(ops, piece(rows % kPoolRows, false));
  for (std::uint64_t i = 0; i < results; ++i) {
    MatrixView out{1, op.blocks, row, row, {}, 0};
    out.outer[0] = {Var::cta2, stride(op.blocks * row)};
    Box box = tile_box(out, Var::cta1, 1, Var::cta0, part);
    if (i == 1) {  // the maxima lie behind the minima
      box.row_extent = op.batch * op.blocks + op.blocks;
      box.first_row = op.batch * op.blocks;
    }
    append(ops, GlobalStore{box, CopyPath::lsu});
  }
  return ops;
}

// ---- Sorting ---------------------------------------------------------------------------------------------------

constexpr std::uint64_t kKeyBytes = 4, kDigitBits = 8;
constexpr std::uint64_t kInBlock = 4096;  // keys that a CTA sorts by itself
// Per key and digit: extraction, match within the warp, count, prefix, place (integer instructions of cub's
// BlockRadixRank and of the scatter through shared memory).
constexpr std::uint64_t kIntsPerDigit = 24;
constexpr std::uint64_t kDigitChain = 400;  // ranks across warps and two barriers

TileProgram sort_in_block(const models::Sort& op) {
  const std::uint64_t row = op.columns * kKeyBytes,
                      threads = std::clamp<std::uint64_t>(std::bit_ceil(op.columns) / 8, 32, 512);
  const std::uint64_t passes = ceil_div(op.key_bits, kDigitBits);
  const auto rows_of = [&](std::uint32_t tensor) { return tile_box({tensor, op.rows, row, row, {}, 0}, Var::cta0, 1); };
  std::vector<Op> ops;
  append(ops, lane_work(0, 20 * threads, 0, 60), GlobalLoad{rows_of(0)}, WaitLoads{}, LoopBegin{0},
         lane_work(0, kIntsPerDigit * op.columns, 0, kDigitChain), SharedAccess{2 * 2 * row, 2 * 2 * row},
         CtaBarrier{0}, LoopEnd{}, GlobalStore{rows_of(1), CopyPath::lsu}, GlobalStore{rows_of(2), CopyPath::lsu});
  const Bytes all(op.rows * row);
  TileProgram program = one_role(fmt::format("sort_in_block_{}_bits", op.key_bits),
                                 {static_cast<std::uint32_t>(threads / 32), 64, 2 * row + 4096},
                                 {{"keys", all, Residency::warm, false},
                                  {"sorted", all, Residency::warm, true},
                                  {"indices", all, Residency::warm, true}},
                                 std::move(ops), {op.rows, 1, 1, 1});
  program.groups[0].loops[0] = {0, static_cast<std::int64_t>(passes)};
  return program;
}

// One pass over all keys: counts of the digits alone, or the move of keys and indices to their places.
TileProgram sort_pass(const models::Sort& op, std::uint64_t passes, bool counts, bool first) {
  constexpr std::uint64_t kPerThread = 12, kThreads = 384, kTile = kPerThread * kThreads;
  const std::uint64_t keys = op.rows * op.columns;
  const auto tile = [&](std::uint32_t tensor) {
    return tile_box({tensor, 1, keys * kKeyBytes, keys * kKeyBytes, {}, 0}, Var::none, 1, Var::cta0, kTile * kKeyBytes);
  };
  const Bytes all(keys * kKeyBytes);
  std::vector<Op> ops;
  append(ops, lane_work(0, 20 * kThreads, 0, 60), GlobalLoad{tile(0)});
  if (!counts && !first) append(ops, GlobalLoad{tile(1)});
  append(ops, WaitLoads{});
  std::vector<Tensor> tensors{{"keys", all, Residency::warm, false}, {"indices", all, Residency::warm, false}};
  if (counts) {
    tensors.push_back({"digit counts", Bytes(passes * 256 * 4), Residency::warm, true});
    append(ops, lane_work(0, 4 * kTile * passes, 0, 200), SharedAccess{0, kTile * 4 * passes},
           GlobalStore{tile_box({2, 1, passes * 1024, passes * 1024, {}, 0}, Var::none, 1), CopyPath::lsu});
  } else {
    // The prefix of the tiles before comes from the neighbours as they finish (decoupled look-back): one round trip.
    tensors.push_back({"tile prefixes", Bytes(ceil_div(keys, kTile) * 1024), Residency::warm, true});
    tensors.push_back({"sorted", all, Residency::warm, true});
    tensors.push_back({"sorted indices", all, Residency::warm, true});
    const Box prefix = tile_box({2, ceil_div(keys, kTile), 1024, 1024, {}, 0}, Var::cta0, 1);
    append(ops, lane_work(0, kIntsPerDigit * kTile, 0, kDigitChain), SharedAccess{2 * 8 * kTile, 2 * 8 * kTile},
           GlobalStore{prefix, CopyPath::lsu}, GlobalLoad{prefix}, WaitLoads{}, CtaBarrier{0});
    for (const std::uint32_t tensor : {3u, 4u}) {
      // Runs of a digit: 4608 keys over 256 places are 18 keys side by side.
      GlobalStore store{tile(tensor), CopyPath::lsu};
      store.segment_bytes = 64;
      append(ops, store);
    }
  }
  return one_role(counts  ? fmt::format("sort_counts_{}", passes)
                  : first ? "sort_pass_first"
                          : "sort_pass",
                  {kThreads / 32, 64, kTile * 8 + 4096}, std::move(tensors), std::move(ops),
                  {ceil_div(keys, kTile), 1, 1, 1});
}

}  // namespace

TileProgram pool_rows_program(const models::PoolRows& op) {
  (void)models::cost(models::Operator(op));  // sizes are sound
  const std::uint64_t row = storage(op.format, op.columns).count(), results = op.bounds ? 2 : 1;
  TileProgram program;
  program.name = fmt::format("pool_{}_{}", op.bounds ? "bounds" : "sum", name(op.format));
  program.tensors = {{"rows", Bytes(op.batch * op.rows * row), Residency::warm, false},
                     {"blocks", Bytes(results * op.batch * op.blocks * row), Residency::warm, true}};
  if (!op.bounds) program.tensors.push_back({"weights", storage(op.format, op.block), Residency::cold, false});
  program.threads_per_cta = kWarps * 32;
  program.registers_per_thread = 64;
  program.shared_memory_per_cta = Bytes(1024);
  const std::uint64_t whole = op.rows < op.block ? 0 : std::min(op.blocks, (op.rows - op.block) / op.stride + 1);
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t rows) {
    if (count == 0) return;
    const auto columns = [&](std::uint64_t first_part, std::uint64_t parts, std::uint64_t useful) {
      if (parts == 0) return;
      add_class(program, {"block", {Role{"threads", kWarps, pool_block(op, rows, useful)}}, {}},
                {parts, count, op.batch, 1},
                {static_cast<std::int64_t>(first_part), static_cast<std::int64_t>(first), 0, 0});
      program.groups.back().loops[0] = {0, static_cast<std::int64_t>(rows / kPoolRows)};
    };
    columns(0, op.columns / kPoolColumns, kPoolColumns);
    columns(op.columns / kPoolColumns, op.columns % kPoolColumns > 0 ? 1 : 0, op.columns % kPoolColumns);
  };
  add(0, whole, op.block);
  for (std::uint64_t block = whole; block < op.blocks; ++block) add(block, 1, op.rows - block * op.stride);
  return program;
}

TileProgram page_scores_program(const models::PageScores& op) {
  (void)models::cost(models::Operator(op));
  constexpr std::uint64_t kPages = 64;
  const std::uint64_t group = op.heads / op.kv_heads, row = storage(op.format, op.head_dim).count();
  // Coordinates: tile of pages, query head of the group, KV head, sequence.
  const auto bounds = [&](std::uint64_t side) {
    MatrixView view{1, op.pages, row, row, {}, 0};
    view.outer = {Term{Var::cta2, stride(op.pages * row)}, Term{Var::cta3, stride(op.kv_heads * op.pages * row)},
                  Term{}};
    Box box = tile_box(view, Var::cta0, kPages);
    if (side == 1) {
      const std::uint64_t behind = op.batch * op.kv_heads * op.pages;
      box.first_row = behind;
      box.row_extent = behind + op.pages;
    }
    return box;
  };
  MatrixView queries{0, op.queries, row, op.heads * row, {}, 0};
  queries.outer = {Term{Var::cta1, stride(row)}, Term{Var::cta2, stride(group * row)},
                   Term{Var::cta3, stride(op.queries * op.heads * row)}};
  MatrixView scores{2, op.queries, 4 * op.pages, op.heads * 4 * op.pages, {}, 0};
  scores.outer = {Term{Var::cta1, stride(4 * op.pages)}, Term{Var::cta2, stride(group * 4 * op.pages)},
                  Term{Var::cta3, stride(op.queries * op.heads * 4 * op.pages)}};
  const auto body = [&](std::uint64_t pages) {
    const std::uint64_t values = kPages * op.head_dim;
    std::vector<Op> ops;
    append(ops, lane_work(0, kSetUpInts, 0, 60), GlobalLoad{bounds(0)}, GlobalLoad{bounds(1)}, WaitLoads{},
           lane_work(2 * values, 0, 0, 40), LoopBegin{0}, GlobalLoad{tile_box(queries, Var::loop0, 1)}, WaitLoads{},
           lane_work(3 * values, values, 0, 5 * 24 + 40, 4 * pages * op.head_dim),
           GlobalStore{tile_box(scores, Var::loop0, 1, Var::cta0, 4 * kPages), CopyPath::lsu}, LoopEnd{});
    return ops;
  };
  TileProgram program;
  program.name = fmt::format("page_scores_{}_hd{}", name(op.format), op.head_dim);
  program.tensors = {{"q", Bytes(op.batch * op.queries * op.heads * row), Residency::warm, false},
                     {"bounds", Bytes(2 * op.batch * op.kv_heads * op.pages * row), Residency::cold, false},
                     {"scores", Bytes(4 * op.batch * op.queries * op.heads * op.pages), Residency::warm, true}};
  program.threads_per_cta = kWarps * 32;
  program.registers_per_thread = 64;
  program.shared_memory_per_cta = Bytes(1024);
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t pages) {
    if (count == 0) return;
    add_class(program, {"pages", {Role{"threads", kWarps, body(pages)}}, {}}, {count, group, op.kv_heads, op.batch},
              {static_cast<std::int64_t>(first), 0, 0, 0});
    program.groups.back().loops[0] = {0, static_cast<std::int64_t>(op.queries)};
  };
  add(0, op.pages / kPages, kPages);
  add(op.pages / kPages, op.pages % kPages > 0 ? 1 : 0, op.pages % kPages);
  return program;
}

std::vector<TileProgram> sort_programs(const models::Sort& op) {
  (void)models::cost(models::Operator(op));
  if (op.columns <= kInBlock) return {sort_in_block(op)};
  const std::uint64_t row_bits = op.rows == 1 ? 0 : static_cast<std::uint64_t>(std::bit_width(op.rows - 1));
  const std::uint64_t passes = ceil_div(op.key_bits + row_bits, kDigitBits);
  std::vector<TileProgram> programs{sort_pass(op, passes, true, true), sort_pass(op, passes, false, true)};
  for (std::uint64_t pass = 1; pass < passes; ++pass) programs.push_back(sort_pass(op, passes, false, false));
  return programs;
}

}  // namespace lightcone::scenarios
