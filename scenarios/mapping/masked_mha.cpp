// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/masked_mha.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kThreads = 256, kKeysPerTurn = 64;
constexpr std::uint64_t kSetUpCycles = 1000;  // lengths, block table, addresses
constexpr std::uint64_t kReductionCycles = 300;

// Products of one turn of keys with Q, or of probabilities with values: each element is widened (twice from 8 bits) and
// multiplied.
VectorWork products(const models::Attention& op) {
  const std::uint64_t elements = kKeysPerTurn * op.head_dim;
  VectorWork work;
  work.fp32_ops = elements;
  work.fp32_flops = 2 * elements;
  work.int_ops = elements * (info(op.kv).bits <= 8 ? 2 : 1) + elements / 8;
  return work;
}

}  // namespace

TileProgram masked_mha(const models::Attention& op) {
  const std::uint64_t group = op.heads / op.kv_heads, keys = op.window > 0 ? std::min(op.window, op.kv_len) : op.kv_len;
  const std::uint64_t q_row = storage(op.activation, op.head_dim).count();
  const std::uint64_t kv_row = storage(op.kv, op.head_dim).count();
  const auto stride = [](std::uint64_t bytes) { return static_cast<std::int64_t>(bytes); };
  TileProgram program;
  program.name = fmt::format("masked_mha_{}_{}_hd{}", name(op.activation), name(op.kv), op.head_dim);
  const Bytes queries(op.batch * op.heads * q_row), cache(op.batch * op.kv_len * op.kv_heads * kv_row);
  program.tensors = {{"q", queries, Residency::warm, false},
                     {"k", cache, Residency::cold, false},
                     {"v", cache, Residency::cold, false},
                     {"o", queries, Residency::warm, true}};
  program.threads_per_cta = kThreads;
  program.registers_per_thread = 64;
  program.shared_memory_per_cta = Bytes(4 * keys + 1024);  // scores
  MatrixView q{0, op.heads, q_row, q_row, {}, 0};
  q.outer = {Term{Var::cta2, stride(group * q_row)}, Term{Var::cta3, stride(op.heads * q_row)}, Term{}};
  MatrixView o = q;
  o.tensor = 3;
  const auto block = [&](std::uint32_t tensor, Var loop) {
    MatrixView view{tensor, keys, kv_row, op.kv_heads * kv_row, {}, 0};
    view.outer = {Term{Var::cta2, stride(kv_row)}, Term{Var::cta3, stride(op.kv_len * op.kv_heads * kv_row)}, Term{}};
    return tile_box(view, loop, kKeysPerTurn);
  };
  VectorWork softmax;
  softmax.fp32_ops = 4 * keys;
  softmax.sfu_ops = keys;
  softmax.dependent_cycles = 2 * kReductionCycles;
  VectorWork finish;
  finish.dependent_cycles = kReductionCycles;
  std::vector<Op> ops;
  append(ops, Delay{kSetUpCycles}, GlobalLoad{tile_box(q, Var::cta0, 1)}, WaitLoads{}, LoopBegin{0},
         GlobalLoad{block(1, Var::loop0)}, WaitLoads{}, products(op), LoopEnd{}, CtaBarrier{0}, softmax, CtaBarrier{0},
         LoopBegin{1}, GlobalLoad{block(2, Var::loop1)}, WaitLoads{}, products(op), LoopEnd{}, CtaBarrier{0}, finish,
         GlobalStore{tile_box(o, Var::cta0, 1)});
  program.classes = {{"head", {Role{"warps", kThreads / 32, std::move(ops)}}, {}}};
  CtaGroup all;
  all.extent = {static_cast<std::uint32_t>(group), 1, static_cast<std::uint32_t>(op.kv_heads),
                static_cast<std::uint32_t>(op.batch)};
  const auto turns = static_cast<std::int64_t>(ceil_div(keys, kKeysPerTurn));
  all.loops = {LoopRange{0, turns}, LoopRange{0, turns}};
  program.groups = {all};
  return program;
}

}  // namespace lightcone::scenarios
