// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/recurrent_parts.h"

#include <algorithm>
#include <utility>

#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// On Hopper mma.sync reaches 62 % of the rate of wgmma (Luo et al., IPDPS 2024): the same product takes 8/5 of the
// tensor core's time.
std::uint64_t slowed(std::uint64_t k, bool slow) { return slow ? ceil_div(k * 8, 5) : k; }

}  // namespace

Mma product_of(std::uint64_t m, std::uint64_t n, std::uint64_t k, std::uint64_t useful_m, std::uint64_t useful_n,
               std::uint64_t useful_k, NumberFormat format, bool slow) {
  Mma mma;
  mma.m = static_cast<std::uint32_t>(m);
  mma.n = static_cast<std::uint32_t>(n);
  mma.k = static_cast<std::uint32_t>(slowed(k, slow));
  mma.format = format;
  mma.shared_read_bytes = storage(format, m * k + n * k).count();
  mma.useful.m_extent = useful_m;
  mma.useful.n_extent = useful_n;
  mma.useful.k_extent = useful_k;
  return mma;
}

MatrixView ChunkGrid::key_view(std::uint32_t tensor, std::uint64_t row_bytes) const {
  MatrixView view{tensor, tokens, row_bytes, row_bytes, {}, 0};
  view.outer[0] = {Var::cta3, static_cast<std::int64_t>(tokens * row_bytes)};
  return view;
}

MatrixView ChunkGrid::value_view(std::uint32_t tensor, std::uint64_t row_bytes) const {
  MatrixView view{tensor, tokens, row_bytes, row_bytes, {}, 0};
  view.outer[0] = {Var::cta3, static_cast<std::int64_t>(members * tokens * row_bytes)};
  view.outer[1] = {Var::cta1, static_cast<std::int64_t>(tokens * row_bytes)};
  return view;
}

MatrixView ChunkGrid::chunk_view(std::uint32_t tensor, std::uint64_t rows, std::uint64_t row_bytes,
                                 Var chunk_var) const {
  const std::uint64_t bytes = rows * row_bytes, per_head = bytes * (chunk_var == Var::none ? 1 : chunks());
  MatrixView view{tensor, rows, row_bytes, row_bytes, {}, 0};
  view.outer[0] = {Var::cta3, static_cast<std::int64_t>(members * per_head)};
  view.outer[1] = {Var::cta1, static_cast<std::int64_t>(per_head)};
  if (chunk_var != Var::none) view.outer[2] = {chunk_var, static_cast<std::int64_t>(bytes)};
  return view;
}

TileProgram over_chunks(std::string name, const ChunkGrid& grid, std::uint64_t blocks, CtaShape shape,
                        std::vector<Tensor> tensors, const ChunkBody& body) {
  TileProgram program = empty_program(std::move(name), shape, std::move(tensors));
  const auto add = [&](const char* label, std::uint64_t tokens, std::uint64_t first, std::uint64_t count) {
    if (count == 0) return;
    add_class(program, {label, {Role{"threads", shape.warps, body(tokens)}}, {}},
              {blocks, grid.members, count, grid.sequences}, {0, 0, static_cast<std::int64_t>(first), 0});
  };
  add("chunk", grid.chunk, 0, grid.whole());
  add("last chunk", grid.rest(), grid.whole(), grid.rest() > 0 ? 1 : 0);
  return program;
}

TileProgram along_chunks(std::string name, const ChunkGrid& grid, std::uint64_t blocks, CtaShape shape,
                         std::vector<Tensor> tensors, std::vector<Op> before, const ChunkBody& body,
                         std::vector<Op> after) {
  std::vector<Op> ops = std::move(before);
  if (grid.whole() > 0) append(ops, LoopBegin{0}, body(grid.chunk), LoopEnd{});
  if (grid.rest() > 0) append(ops, body(grid.rest()));
  append(ops, std::move(after));
  TileProgram program =
      one_role(std::move(name), shape, std::move(tensors), std::move(ops), {blocks, grid.members, 1, grid.sequences});
  program.groups[0].loops[0] = {0, static_cast<std::int64_t>(grid.whole())};
  return program;
}

TileProgram with_first_block(const TileProgram& first, const TileProgram& others) {
  TileProgram program = first;
  const auto alone = [](const CtaGroup& group) { return group.extent[0] == 1; };
  if (std::all_of(first.groups.begin(), first.groups.end(), alone)) return program;
  program.classes.insert(program.classes.end(), others.classes.begin(), others.classes.end());
  program.groups.clear();
  for (const CtaGroup& group : first.groups) {
    program.groups.push_back(group);
    program.groups.back().extent[0] = 1;
    CtaGroup rest = group;
    rest.cta_class = class_index(group.cta_class + first.classes.size());
    rest.extent[0] = group.extent[0] - 1;
    rest.origin[0] = group.origin[0] + 1;
    program.groups.push_back(rest);
  }
  return program;
}

}  // namespace lightcone::scenarios
