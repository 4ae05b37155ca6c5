// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/expert_kernels.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using namespace hardware;

constexpr std::uint64_t kIndexBytes = 4;
constexpr std::uint64_t kWarpRow = 1024;      // values of a row that one warp keeps in registers
constexpr std::uint64_t kRowsPerCta = 4;      // warps that each take a row
constexpr std::uint64_t kShuffleCycles = 30;  // one of the five steps of a warp's reduction, value and index
constexpr std::uint64_t kOrderThreads = 1024;
constexpr std::uint64_t kPlaceThreads = 256;
constexpr std::uint64_t kSharedAtomicCycles = 60;  // a counter in shared memory, there and back

MatrixView rows_of(std::uint32_t tensor, std::uint64_t rows, std::uint64_t row_bytes) {
  return {tensor, rows, row_bytes, row_bytes, {}, 0};
}

std::uint32_t warps_for(std::uint64_t bytes) {  // of a CTA that moves a row in accesses of 16 bytes
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(ceil_div(bytes, 16 * 32), 1, 8));
}

// Indices from tensor `from` to tensor `to`, `threads` at a time: a CTA goes over all of them, or takes one turn.
std::vector<Op> place_indices(std::uint32_t from, std::uint32_t to, std::uint64_t rows, std::uint64_t threads, Var turn,
                              std::uint64_t chain) {
  const std::uint64_t all = rows * kIndexBytes;
  std::vector<Op> ops;
  append(ops, GlobalLoad{tile_box(rows_of(from, 1, all), Var::none, 1, turn, threads * kIndexBytes)}, WaitLoads{},
         lane_work(0, 12 * threads, 0, chain), SharedAccess{threads * kIndexBytes, threads * kIndexBytes},
         GlobalStore{tile_box(rows_of(to, 1, all), Var::none, 1, turn, threads * kIndexBytes), CopyPath::lsu});
  return ops;
}

// Counts, one counter in shared memory per expert, over `turns` pieces of the indices by one CTA (or the CTA's own
// piece); then their running sum: five steps of shuffles, and again over warps.
std::vector<Op> count_indices(std::uint64_t rows, std::uint64_t threads, Var turn, bool sum) {
  std::vector<Op> ops;
  const std::vector<Op> piece{
      GlobalLoad{tile_box(rows_of(0, 1, rows * kIndexBytes), Var::none, 1, turn, threads * kIndexBytes)}, WaitLoads{},
      lane_work(0, 8 * threads, 0, kSharedAtomicCycles)};
  if (turn == Var::loop0) append(ops, LoopBegin{0}, piece, LoopEnd{});
  if (turn != Var::loop0) append(ops, piece);
  append(ops, CtaBarrier{0});
  if (sum) append(ops, lane_work(0, 16 * threads, 0, 10 * kShuffleCycles), CtaBarrier{0});
  return ops;
}

// TensorRT-LLM orders the rows of up to 256 tokens in one kernel, where the choices per token are of a number that it
// was built for.
bool ordered_in_one_kernel(std::uint64_t tokens, std::uint64_t choices) {
  return tokens <= 256 && (choices == 1 || choices == 2 || choices == 4 || choices == 6 || choices == 8);
}

// Where each expert's rows, weights and scales begin, for the products' descriptors (computeStridesTmaWarpSpecialized):
// a thread per expert finds its place and writes some fifteen addresses. The chain: a few loads of counts, each waiting
// for the one before, from the L2.
TileProgram product_addresses() {
  constexpr std::uint64_t kThreads = 256, kAddresses = 15, kChain = 4 * 265;
  return one_role("product_addresses", {kThreads / 32, 64, 0}, {}, {lane_work(0, 8 * kAddresses * kThreads, 0, kChain)},
                  {1, 1, 1, 1});
}

std::vector<TileProgram> order_programs(const models::GatherRows& op, KernelLibrary library) {
  const std::uint64_t rows = op.indices();
  const Tensor from{"expert_of_row", Bytes(rows * kIndexBytes), Residency::warm, false};
  const Tensor to{"order", Bytes(rows * kIndexBytes), Residency::warm, true};
  const CtaShape shape{static_cast<std::uint32_t>(std::min(kOrderThreads, round_up(rows, 32)) / 32), 32, 16 * 1024};
  const std::uint64_t threads = 32 * shape.warps;
  const auto pieces = static_cast<std::int64_t>(ceil_div(rows, kOrderThreads));
  std::vector<TileProgram> programs;
  const bool counts_alone = library == KernelLibrary::vllm || library == KernelLibrary::sglang;
  if (!counts_alone && ordered_in_one_kernel(op.source_rows, ceil_div(rows, op.source_rows))) {
    std::vector<Op> ops = count_indices(rows, threads, Var::loop0, true);
    append(ops, LoopBegin{1}, place_indices(0, 1, rows, threads, Var::loop1, kSharedAtomicCycles), LoopEnd{});
    programs.push_back(one_role("order_rows", shape, {from, to}, std::move(ops), {1, 1, 1, 1}));
    programs.back().groups[0].loops = {LoopRange{0, pieces}, LoopRange{0, pieces}};
    return programs;
  }
  if (counts_alone) {
    programs.push_back(
        one_role("count_rows", shape, {from}, count_indices(rows, threads, Var::loop0, true), {1, 1, 1, 1}));
    programs.back().groups[0].loops[0] = {0, pieces};
  } else {
    programs.push_back(one_role("count_rows", shape, {from}, count_indices(rows, threads, Var::cta0, false),
                                {ceil_div(rows, kOrderThreads), 1, 1, 1}));
    programs.push_back(
        one_role("sum_counts", shape, {}, {lane_work(0, 16 * threads, 0, 10 * kShuffleCycles)}, {1, 1, 1, 1}));
  }
  std::vector<Op> place = place_indices(0, 1, rows, kPlaceThreads, Var::cta0, kSharedAtomicCycles);
  place.insert(place.begin() + 2, Signal{});  // the row's place: an atomic on its expert's counter
  programs.push_back(one_role("place_rows", {kPlaceThreads / 32, 32, 0}, {from, to}, std::move(place),
                              {ceil_div(rows, kPlaceThreads), 1, 1, 1}));
  return programs;
}

}  // namespace

TileProgram top_k_program(const models::TopK& op) {
  (void)models::cost(op);
  const bool by_warp = op.columns <= kWarpRow;
  const std::uint64_t per_cta = by_warp ? kRowsPerCta : 1;
  const std::uint64_t row = storage(op.format, op.columns).count(), chosen = storage(op.format, op.k).count();
  // Softmax, then k times: the largest of each lane's values, a reduction of value and index, the winner struck out.
  // Rows longer than a warp's registers are cut to candidates once (histograms of their digits) and then sorted.
  const std::uint64_t rounds = by_warp ? op.k : 4;
  const std::uint64_t chain = rounds * 5 * kShuffleCycles * (by_warp ? 1 : 4);
  const auto work = [&](std::uint64_t rows) {
    std::vector<Op> ops;
    append(ops, GlobalLoad{tile_box(rows_of(0, op.rows, row), Var::cta0, per_cta)}, WaitLoads{},
           lane_work(rows * op.columns * (rounds + 3), rows * (op.columns + 64 * rounds), rows * op.columns, chain,
                     rows * op.columns),
           GlobalStore{tile_box(rows_of(1, op.rows, chosen), Var::cta0, per_cta), CopyPath::lsu},
           GlobalStore{tile_box(rows_of(2, op.rows, op.k * kIndexBytes), Var::cta0, per_cta), CopyPath::lsu});
    return ops;
  };
  TileProgram program;
  program.name = fmt::format("top_k_{}_{}", op.k, name(op.format));
  program.tensors = {{"scores", Bytes(row * op.rows), Residency::warm, false},
                     {"weights", Bytes(chosen * op.rows), Residency::warm, true},
                     {"indices", Bytes(op.rows * op.k * kIndexBytes), Residency::warm, true}};
  const std::uint32_t warps = by_warp ? static_cast<std::uint32_t>(kRowsPerCta) : 8;
  program.threads_per_cta = 32 * warps;
  program.registers_per_thread = by_warp ? 64 : 48;
  program.shared_memory_per_cta = Bytes(1024);
  const std::uint64_t whole = op.rows / per_cta, rest = op.rows % per_cta;
  const auto add = [&](const char* label, std::uint64_t first, std::uint64_t ctas, std::uint64_t rows) {
    if (ctas == 0) return;
    add_class(program, {label, {Role{"warps", warps, work(rows)}}, {}}, {ctas, 1, 1, 1},
              {static_cast<std::int64_t>(first), 0, 0, 0});
  };
  add("rows", 0, whole, per_cta);
  add("last rows", whole, rest > 0 ? 1 : 0, rest);
  return program;
}

std::vector<TileProgram> gather_rows_programs(const models::GatherRows& op, KernelLibrary library) {
  (void)models::cost(op);
  std::vector<TileProgram> programs;
  if (!op.given) programs = order_programs(op, library);
  if (op.order_only) return programs;
  const std::uint64_t row = storage(op.format, op.columns).count();
  // Each source row goes to rows / sources places, the first of them to one more where the rows do not divide.
  const std::uint64_t sources = std::min(op.rows, op.source_rows);
  MatrixView to = rows_of(1, op.rows, row), indices = rows_of(2, op.rows, kIndexBytes);
  to.outer[0] = {Var::cta1, static_cast<std::int64_t>(sources * row)};
  indices.outer[0] = {Var::cta1, static_cast<std::int64_t>(sources * kIndexBytes)};
  std::vector<Op> ops;
  append(ops, GlobalLoad{tile_box(indices, Var::cta0, 1)}, WaitLoads{},
         GlobalLoad{tile_box(rows_of(0, sources, row), Var::cta0, 1)}, WaitLoads{}, lane_work(0, op.columns / 4, 0, 0),
         GlobalStore{tile_box(to, Var::cta0, 1), CopyPath::lsu});
  TileProgram program = one_role(fmt::format("gather_rows_{}", name(op.format)), {warps_for(row), 32, 0},
                                 {{"source", Bytes(sources * row), Residency::warm, false},
                                  {"output", Bytes(op.rows * row), Residency::warm, true},
                                  {"indices", Bytes(op.rows * kIndexBytes), Residency::warm, false}},
                                 std::move(ops), {sources, op.rows / sources, 1, 1});
  program.groups.clear();
  add_rounds(program, op.rows, sources);
  programs.push_back(product_addresses());
  programs.push_back(std::move(program));
  return programs;
}

TileProgram combine_rows_program(const models::CombineRows& op) {
  (void)models::cost(op);
  const std::uint64_t row = storage(op.format, op.columns).count();
  const std::uint64_t all = op.rows * op.parts, present = op.fetched();
  TileProgram program;
  program.name = fmt::format("combine_rows_{}_{}", op.parts, name(op.format));
  program.tensors = {{"parts", Bytes(present * row), Residency::warm, false},
                     {"output", Bytes(op.rows * row), Residency::warm, true},
                     {"weights_and_indices", Bytes(2 * all * kIndexBytes), Residency::warm, false}};
  const std::uint32_t warps = warps_for(row);
  program.threads_per_cta = warps * 32;
  program.registers_per_thread = 40;
  // Sums of `count` parts for `sums` rows, whose parts begin at `first_part` and whose outputs at `first_row`.
  const auto add = [&](std::uint64_t first_row, std::uint64_t sums, std::uint64_t first_part, std::uint64_t count) {
    if (sums == 0) return;
    MatrixView parts = rows_of(0, count, row), indices = rows_of(2, 1, 2 * op.parts * kIndexBytes);
    parts.outer = {Term{Var::cta0, static_cast<std::int64_t>(count * row)},
                   Term{Var::cta3, static_cast<std::int64_t>(first_part * row)}};
    MatrixView output = rows_of(1, 1, row);
    output.outer = {Term{Var::cta0, static_cast<std::int64_t>(row)},
                    Term{Var::cta3, static_cast<std::int64_t>(first_row * row)}};
    indices.outer = {Term{Var::cta0, static_cast<std::int64_t>(2 * op.parts * kIndexBytes)},
                     Term{Var::cta3, static_cast<std::int64_t>(first_row * 2 * op.parts * kIndexBytes)}};
    std::vector<Op> ops;
    append(ops, GlobalLoad{tile_box(indices, Var::none, 1)}, WaitLoads{});
    // The loads of all parts are under way together; the sum waits for each in turn.
    if (count > 0) append(ops, GlobalLoad{tile_box(parts, Var::none, count)}, WaitLoads{});
    append(ops, lane_work(op.columns * (2 * count + 1), op.columns * (count + 1) / 4, 0, 0, 2 * count * op.columns),
           GlobalStore{tile_box(output, Var::none, 1), CopyPath::lsu});
    add_class(program, {"sum", {Role{"threads", warps, std::move(ops)}}, {}}, {sums, 1, 1, 1}, {0, 0, 0, 1});
  };
  // Where only some of the parts are there, they are spread evenly over the sums.
  const std::uint64_t fewer = present / op.rows, longer = present % op.rows;
  add(0, longer, 0, fewer + 1);
  add(longer, op.rows - longer, longer * (fewer + 1), fewer);
  return program;
}

}  // namespace lightcone::scenarios
