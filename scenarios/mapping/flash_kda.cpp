// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "scenarios/mapping/chunk_kernels.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/recurrent_parts.h"
#include "scenarios/mapping/strided_copy.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;
using models::LinearAttention;

namespace {

constexpr std::uint64_t kDim = 128, kChunk = 16;
constexpr std::uint64_t kRow = kDim * 2, kTile = kChunk * kRow, kSquare = kChunk * kChunk * 2;
constexpr std::uint64_t kValues = kChunk * kDim;

// What the first kernel leaves per tile: decayed K and Q, restored K, total decay (fp32), inverse, masked Q K^T.
constexpr std::uint64_t kWorkspace = 3 * kTile + 4 * kDim + 2 * kSquare;

// fwd_kernel1.cuh, 256 threads, at most 64 registers: norms of Q and K, gate and its sum down the 16 rows by half of
// the threads, decayed operands, two products, the inverse by a Neumann series of one warp. Nine barriers stand
// between.
TileProgram prepare(const LinearAttention& op, const ChunkGrid& grid) {
  const auto tile_of = [&](std::uint32_t tensor, std::uint64_t row) {
    return tile_box(grid.value_view(tensor, row), Var::cta2, kChunk);
  };
  const Bytes vectors(grid.value_rows() * kRow);
  return over_chunks(
      "flash_kda_prepare", grid, 1, {8, 32, 5 * kTile + 2 * kTile},
      {{"q", vectors, Residency::warm, false},
       {"k", vectors, Residency::warm, false},
       {"g", vectors, Residency::warm, false},
       {"beta", Bytes(grid.value_rows() * 2), Residency::warm, false},
       {"workspace", Bytes(grid.sequences * grid.members * grid.chunks() * kWorkspace), Residency::warm, true}},
      [&](std::uint64_t t) {
        std::vector<Op> ops;
        append(ops, lane_work(0, 40 * 256, 256, 100), GlobalLoad{tile_of(0, kRow)}, GlobalLoad{tile_of(1, kRow)},
               GlobalLoad{tile_of(2, kRow)}, GlobalLoad{tile_of(3, 2)}, WaitLoads{}, CtaBarrier{0},
               // norms: 2 x (conversion, square, product, conversion), four shuffle steps of 24 cycles
               SharedAccess{2 * kTile, 2 * kTile}, lane_work(2 * 4 * kValues, 2 * kValues, 2 * 256, 4 * 24 + 60),
               CtaBarrier{1},
               // gate: 16 dependent additions behind a tanh each
               SharedAccess{kTile, 2 * kTile}, lane_work(7 * kValues, 2 * kValues, kValues, 16 * 8 + 40), CtaBarrier{2},
               // decay: exp2 of both signs and of what remains of the chunk, five products, conversions
               SharedAccess{4 * kTile, 0}, lane_work(12 * kValues, 4 * kValues, 2 * kValues, 100), CtaBarrier{3},
               SharedAccess{0, 4 * kTile}, CtaBarrier{4}, product_of(kChunk, kChunk, kDim, t, t, kDim, op.format, true),
               product_of(kChunk, kChunk, kDim, t, t, kDim, op.format, true), MmaWait{0}, CtaBarrier{5},
               lane_work(6 * kChunk * kChunk, 6 * kChunk * kChunk, kChunk, 60, t * t), CtaBarrier{6},
               // Neumann series: (I - L)(I + L^2)(I + L^4)(I + L^8), six dependent products of 16
               lane_work(32 * 40, 32 * 20, 0, 6 * 45, 2 * t * t * t / 3), CtaBarrier{7},
               GlobalStore{tile_box(grid.chunk_view(4, 1, kWorkspace, Var::cta2), Var::none, 1), CopyPath::bulk},
               WaitStores{});
        return ops;
      });
}

// fwd_kernel2.cuh. Cycles of one chunk's dependent chain in a warp of the four, from the source: 8 turns over the keys,
// each waiting twice for an ldmatrix (29) whose fragment feeds four mma (26); two products with transposes through
// movmatrix (80 each) and an mma (33); 8 turns over the state's rows, each behind an mma. The lane work of update and
// conversion comes on top.
constexpr std::uint64_t kProductsChain = 8 * 2 * (29 + 26), kMixChain = 2 * (80 + 33), kUpdateChain = 8 * 33;
// Shared memory of one chunk: the state three times, both decayed operands by every warp, the restored keys by every
// warp, V and the output.
constexpr std::uint64_t kStateBytes = kDim * kDim * 2;
constexpr std::uint64_t kChunkShared = 3 * kStateBytes + 3 * 4 * kTile + 2 * kTile;
// Conversion of the fp32 state by blocks of 8 x 8: 43 turns of each of six warps, a load, a conversion and a store that
// wait for one another, and the addresses of two swizzled layouts.
constexpr std::uint64_t kConvertChain = 43 * 70;

TileProgram recurrence(const LinearAttention& op, const ChunkGrid& grid) {
  const Bytes vectors(grid.value_rows() * kRow);
  const bool converts = op.state_format == NumberFormat::fp32;
  const std::uint64_t state_row = storage(op.state_format, kDim).count();
  const Box state = tile_box(grid.chunk_view(3, kDim, state_row, Var::none), Var::none, kDim);
  const auto conversion = [&] {
    std::vector<Op> ops;
    if (converts) {
      append(ops, lane_work(kDim * kDim, 4 * kDim * kDim, 0, kConvertChain),
             SharedAccess{kStateBytes, 2 * kStateBytes});
    }
    append(ops, CtaBarrier{0});
    return ops;
  };
  std::vector<Op> copies, compute;
  const auto rows_of = [&](std::uint32_t tensor, Var chunk, std::uint64_t row) {
    return tile_box(grid.value_view(tensor, row), chunk, kChunk);
  };
  const auto chunks = static_cast<std::int64_t>(grid.chunks());
  append(copies, LoopBegin{0}, AcquireStage{0}, LoadTile{0, rows_of(0, Var::loop0, kRow)},
         LoadTile{0, rows_of(1, Var::loop0, 2)},
         LoadTile{0, tile_box(grid.chunk_view(2, 1, kWorkspace, Var::loop0), Var::none, 1)}, CommitStage{0}, LoopEnd{});
  if (op.reads_state) append(compute, GlobalLoad{state}, WaitLoads{}, conversion());
  const auto turn = [&](std::uint64_t t) {
    std::vector<Op> ops;
    Mma old = product_of(kChunk, kDim, kDim, t, kDim, kDim, op.format, true);
    old.shared_read_bytes = kChunkShared;
    Mma out = old, mix = product_of(kChunk, kDim, kChunk, t, kDim, t, op.format, true);
    Mma update = product_of(kDim, kDim, kChunk, kDim, kDim, t, op.format, true);
    out.shared_read_bytes = mix.shared_read_bytes = update.shared_read_bytes = 0;
    append(ops, WaitStage{0}, old, out, lane_work(0, 0, 0, kProductsChain), mix, mix,
           lane_work(4 * kValues, kValues, 2 * 128, kMixChain), update,
           lane_work(3 * kDim * kDim, kDim * kDim / 4, 0, kUpdateChain, kDim * kDim), MmaWait{0}, CtaBarrier{1},
           ReleaseStage{0}, GlobalStore{rows_of(4, Var::loop1, kRow), CopyPath::bulk});
    return ops;
  };
  if (grid.whole() > 0) append(compute, LoopBegin{1}, turn(kChunk), LoopEnd{});
  if (grid.rest() > 0) append(compute, turn(grid.rest()));
  if (op.writes_state) append(compute, conversion(), GlobalStore{state, CopyPath::bulk}, WaitStores{});

  TileProgram program;
  program.name = "flash_kda_recurrence";
  program.tensors = {
      {"v", vectors, Residency::warm, false},
      {"beta", Bytes(grid.value_rows() * 2), Residency::warm, false},
      {"workspace", Bytes(grid.sequences * grid.members * grid.chunks() * kWorkspace), Residency::warm, false},
      {"state", storage(op.state_format, grid.sequences * grid.members * kDim * kDim), Residency::cold,
       op.writes_state},
      {"o", vectors, Residency::warm, true}};
  program.threads_per_cta = 192;
  // No minimum of CTAs is asked for, and the unrolled fragments take what there is: one CTA per SM.
  program.registers_per_thread = 232;
  program.shared_memory_per_cta = Bytes(3 * kStateBytes);
  program.classes = {{"head",
                      {Role{"copies", 2, std::move(copies)}, Role{"recurrence", 4, std::move(compute)}},
                      {Pipe{"tiles", 3, 1}}}};
  add_group(program, 0, {1, grid.members, 1, grid.sequences});
  program.groups[0].loops = {LoopRange{0, chunks}, LoopRange{0, static_cast<std::int64_t>(grid.whole())}};
  return program;
}

// One warp counts the tiles of the sequences before each, from their offsets.
TileProgram tile_prefix(const LinearAttention& op) {
  const std::uint64_t bytes = 8 * (op.batch + 1);
  std::vector<Op> ops;
  append(ops, GlobalLoad{tile_box({0, 1, bytes, bytes, {}, 0}, Var::none, 1)}, WaitLoads{},
         lane_work(0, 8 * op.batch, 0, 100 + 12 * op.batch),
         GlobalStore{tile_box({1, 1, bytes / 2, bytes / 2, {}, 0}, Var::none, 1), CopyPath::lsu});
  return one_role(
      "flash_kda_tile_prefix", {1, 32, 0},
      {{"offsets", Bytes(bytes), Residency::warm, false}, {"prefix", Bytes(bytes / 2), Residency::warm, true}},
      std::move(ops), {1, 1, 1, 1});
}

}  // namespace

bool flash_kda_takes(const LinearAttention& op) {
  return op.rule == models::LinearRule::channel_delta && op.chunk == kChunk && op.key_dim == kDim &&
         op.value_dim == kDim && op.heads == op.value_heads && info(op.format).bits == 16;
}

std::vector<TileProgram> flash_kda_programs(const LinearAttention& op) {
  const ChunkGrid grid{op.tokens, kChunk, 1, op.batch * op.heads};
  // The wrapper transposes beta to [heads, tokens] first.
  return {strided_copy_program(op.batch * op.tokens * op.heads, op.format, 2), tile_prefix(op), prepare(op, grid),
          recurrence(op, grid)};
}

}  // namespace lightcone::scenarios
