// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/chunk_kernels.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/recurrent_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;
using models::LinearAttention;

namespace {

constexpr std::uint64_t kPassedValues = 512;  // state values of a CTA of the passing kernel
constexpr std::uint32_t kWarps = 8;

}  // namespace

std::vector<TileProgram> ssd_programs(const LinearAttention& op) {
  const ChunkGrid grid{op.tokens, op.chunk, op.value_heads / op.heads, op.batch * op.heads};
  ChunkGrid groups = grid;  // one CTA per group, not per head
  groups.members = 1;
  const std::uint64_t c = op.chunk, n = op.key_dim, p = op.value_dim, state_values = n * p;
  const std::uint64_t key_row = storage(op.format, n).count(), value_row = storage(op.format, p).count();
  const std::uint64_t heads = grid.sequences * grid.members;
  const auto values = [&](const char* label, bool written) {
    return Tensor{label, Bytes(grid.value_rows() * value_row), Residency::warm, written};
  };
  const auto keys = [&](const char* label) {
    return Tensor{label, Bytes(grid.key_rows() * key_row), Residency::warm, false};
  };
  const auto scalars = [&](const char* label, bool written) {
    return Tensor{label, Bytes(grid.value_rows() * 4), Residency::warm, written};
  };
  const auto states = [&](const char* label, std::uint64_t value_bytes, bool written) {
    return Tensor{label, Bytes(heads * grid.chunks() * state_values * value_bytes), Residency::warm, written};
  };
  const std::uint64_t stored = info(op.format).bits / 8;  // bytes of a value of the states that the output reads
  const auto head_tile = [&](std::uint32_t tensor, std::uint64_t row) {
    return tile_box(grid.value_view(tensor, row), Var::cta2, c);
  };
  const auto group_tile = [&](std::uint32_t tensor, std::uint64_t row) {
    return tile_box(grid.key_view(tensor, row), Var::cta2, c);
  };
  const VectorWork set_up = lane_work(0, 40 * 32 * kWarps, 0, 100);
  std::vector<TileProgram> kernels;

  // chunk_cumsum: softplus of the step and the running sum of its product with A.
  kernels.push_back(over_chunks(
      "ssd_cumsum", grid, 1, {2, 48, 1024}, {scalars("dt", false), scalars("decay", true)}, [&](std::uint64_t) {
        std::vector<Op> ops;
        append(ops, lane_work(0, 40 * 64, 0, 100), GlobalLoad{head_tile(0, 4)}, WaitLoads{},
               lane_work(16 * c, 6 * c, 2 * c, 300), GlobalStore{head_tile(1, 4), CopyPath::lsu});
        return ops;
      }));

  // chunk_state: B^T x of each chunk, the tokens scaled by their decay to its end; left in fp32.
  kernels.push_back(over_chunks(
      "ssd_chunk_state", grid, 1, {kWarps, 128, 2 * 32 * (key_row + value_row)},
      {values("x", false), keys("B"), scalars("decay", false), states("chunk states", 4, true)}, [&](std::uint64_t t) {
        std::vector<Op> ops;
        append(ops, set_up, GlobalLoad{head_tile(0, value_row)}, GlobalLoad{group_tile(1, key_row)},
               GlobalLoad{head_tile(2, 4)}, WaitLoads{}, lane_work(3 * c * n, c * n / 2, c, 60),
               SharedAccess{0, c * key_row}, product_of(p, n, c, p, n, t, op.format, false), MmaWait{0},
               GlobalStore{tile_box(grid.chunk_view(3, p, 4 * n, Var::cta2), Var::none, p), CopyPath::lsu});
        return ops;
      }));

  // state_passing: each state value by itself, from chunk to chunk; written in the storage format.
  const std::uint64_t passed = state_values % kPassedValues == 0 ? kPassedValues : state_values;
  const auto passing_box = [&](std::uint32_t tensor, std::uint64_t value_bytes, Var chunk) {
    return tile_box(grid.chunk_view(tensor, 1, state_values * value_bytes, chunk), Var::none, 1, Var::cta0,
                    passed * value_bytes);
  };
  const std::uint64_t state_bytes = info(op.state_format).bits / 8;
  std::vector<Op> before, after;
  if (op.reads_state) append(before, GlobalLoad{passing_box(2, state_bytes, Var::none)}, WaitLoads{});
  if (op.writes_state) append(after, GlobalStore{passing_box(2, state_bytes, Var::none), CopyPath::lsu});
  kernels.push_back(along_chunks(
      "ssd_state_passing", grid, state_values / passed, {4, 40, 0},
      {states("chunk states", 4, false),
       states("states", stored, true),
       {"state", storage(op.state_format, heads * state_values), Residency::cold, op.writes_state},
       scalars("decay", false)},
      std::move(before),
      [&](std::uint64_t) {
        std::vector<Op> ops;
        Box last = tile_box(grid.value_view(3, 4), Var::loop0, 1);
        last.row_step = c;
        append(ops, GlobalStore{passing_box(1, stored, Var::loop0), CopyPath::lsu},
               GlobalLoad{passing_box(0, 4, Var::loop0)}, GlobalLoad{last}, WaitLoads{},
               lane_work(2 * passed, passed, 1, 30, passed));
        return ops;
      },
      std::move(after)));

  // bmm_chunk: C B^T of a group, in fp32.
  kernels.push_back(over_chunks(
      "ssd_bmm_chunk", groups, 1, {kWarps, 128, 2 * 32 * 2 * key_row},
      {keys("C"), keys("B"), {"C B^T", Bytes(grid.key_rows() * 4 * c), Residency::warm, true}}, [&](std::uint64_t t) {
        std::vector<Op> ops;
        append(ops, set_up, GlobalLoad{group_tile(0, key_row)}, GlobalLoad{group_tile(1, key_row)}, WaitLoads{},
               product_of(c, c, n, t, t, n, op.format, false), MmaWait{0}, lane_work(c * c, 0, 0, 20),
               GlobalStore{group_tile(2, 4 * c), CopyPath::lsu});
        return ops;
      }));

  // chunk_scan: C times the state before the chunk, plus the decayed C B^T times x, plus D x.
  kernels.push_back(
      over_chunks("ssd_chunk_scan", grid, 1, {kWarps, 168, 2 * 32 * (4 * c + value_row)},
                  {keys("C"),
                   {"C B^T", Bytes(grid.key_rows() * 4 * c), Residency::warm, false},
                   values("x", false),
                   states("states", stored, false),
                   scalars("decay", false),
                   values("y", true)},
                  [&](std::uint64_t t) {
                    std::vector<Op> ops;
                    append(ops, set_up, GlobalLoad{group_tile(0, key_row)}, GlobalLoad{head_tile(4, 4)},
                           GlobalLoad{tile_box(grid.chunk_view(3, p, stored * n, Var::cta2), Var::none, p)},
                           WaitLoads{}, SharedAccess{0, p * n * stored}, product_of(c, p, n, t, p, n, op.format, false),
                           GlobalLoad{group_tile(1, 4 * c)}, GlobalLoad{head_tile(2, value_row)}, MmaWait{0},
                           lane_work(2 * c * p, 0, c, 30), WaitLoads{},
                           lane_work(5 * c * c, 2 * c * c, c * c, 60, t * t + 2 * t * p),
                           SharedAccess{0, c * value_row}, product_of(c, p, c, t, p, t, op.format, false), MmaWait{0},
                           lane_work(4 * c * p, 0, 0, 30), GlobalStore{head_tile(5, value_row), CopyPath::lsu});
                    return ops;
                  }));
  return kernels;
}

}  // namespace lightcone::scenarios
