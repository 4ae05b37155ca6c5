// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/gemm_layout.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kPartialBytes = 4;  // fp32 partial sums

}  // namespace

TileProgram split_k_reduce(const GemmProblem& problem, std::uint32_t split) {
  constexpr std::uint64_t kPerThread = 4;  // one 16-byte load of fp32 from each part
  const std::uint64_t elements = problem.batch * problem.m * problem.n;
  const std::uint32_t threads = 256;
  const std::uint64_t per_cta = std::min<std::uint64_t>(kPerThread * threads, round_up(elements, 32 * kPerThread));
  TileProgram program;
  program.name = fmt::format("split_k_reduce_{}{}", split, problem.accumulates ? "_accumulate" : "");
  program.tensors = {{"partial_sums", Bytes(elements * kPartialBytes * split), Residency::warm, false},
                     {"output", storage(problem.output, elements), Residency::warm, true}};
  program.threads_per_cta = static_cast<std::uint32_t>(per_cta / kPerThread);
  program.registers_per_thread = 40;
  const auto flat = [](std::uint32_t tensor, std::uint64_t parts, std::uint64_t bytes) {
    return MatrixView{tensor, parts, bytes, bytes, {}, 0};
  };
  Role role{"reduce", program.threads_per_cta / 32, {}};
  append(
      role.ops, LoopBegin{0},
      GlobalLoad{tile_box(flat(0, split, elements * kPartialBytes), Var::loop0, 1, Var::cta0, per_cta * kPartialBytes)},
      LoopEnd{}, WaitLoads{});
  if (problem.bias) {
    // Bias of whole rows: read once per CTA from a row that the cache holds.
    const std::uint64_t row = storage(problem.output, problem.n).count();
    program.tensors.push_back({"bias", Bytes(row), Residency::cold, false});
    append(role.ops,
           GlobalLoad{tile_box(flat(2, 1, row), Var::none, 1, Var::none,
                               std::min(row, storage(problem.output, per_cta).count()))},
           WaitLoads{});
  }
  const Box output = tile_box(flat(1, 1, storage(problem.output, elements).count()), Var::none, 1, Var::cta0,
                              storage(problem.output, per_cta).count());
  if (problem.accumulates) append(role.ops, GlobalLoad{output}, WaitLoads{});
  const std::uint64_t others = (problem.bias ? 1u : 0u) + (problem.accumulates ? 1u : 0u);
  VectorWork sum;
  sum.fp32_ops = per_cta * (split + others);
  sum.fp32_flops = per_cta * (split - 1 + others);
  sum.int_ops = per_cta * split / 4 + per_cta / 2;
  append(role.ops, sum, GlobalStore{output, CopyPath::lsu});
  program.classes = {{"reduce", {role}, {}}};
  CtaGroup group;
  group.extent[0] = static_cast<std::uint32_t>(ceil_div(elements, per_cta));
  group.loops[0] = {0, split};
  program.groups = {group};
  return program;
}

}  // namespace lightcone::scenarios
