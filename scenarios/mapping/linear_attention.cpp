// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/linear_attention.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/chunk_kernels.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/recurrent_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;
using models::LinearAttention;
using models::LinearRule;

namespace {

constexpr std::uint64_t kColumns = 32;     // value columns of a CTA of the recurrent step
constexpr std::uint64_t kStepChain = 300;  // two sums over the keys across the warp, exponentials, the update

enum Index : std::uint32_t { kQ, kK, kV, kO, kState, kGates, kNormaliser };

// FLOPs of one token of one value head by the operator's formula: everything of it is on the vector lanes.
std::uint64_t step_flops(const LinearAttention& op) {
  LinearAttention one = op;
  one.batch = one.tokens = 1;
  return models::cost(models::Operator(one)).vector_flops.count() / op.value_heads;
}

// Bytes of decays and strengths of one token, of one value head and of one key head.
struct GateBytes {
  std::uint64_t value_head = 0, key_head = 0;
};
GateBytes gate_bytes(const LinearAttention& op) {
  const std::uint64_t vector = storage(op.format, op.key_dim).count();
  switch (op.rule) {
    case LinearRule::sum:
    case LinearRule::scalar_decay:
      return {};
    case LinearRule::ssd:
    case LinearRule::delta:
      return {4, 0};
    case LinearRule::gated_delta:
    case LinearRule::mlstm:
      return {8, 0};
    case LinearRule::vector_decay:
      return {0, vector};
    case LinearRule::channel_delta:
      return {4, vector};
    case LinearRule::dplr:
      return {0, 3 * vector};
  }
  return {};
}

std::vector<Tensor> tensors_of(const LinearAttention& op) {
  const std::uint64_t rows = op.batch * op.tokens;
  const Bytes keys = storage(op.format, rows * op.heads * op.key_dim);
  const Bytes values = storage(op.format, rows * op.value_heads * op.value_dim);
  const GateBytes gates = gate_bytes(op);
  std::vector<Tensor> tensors{
      {"q", keys, Residency::warm, false},
      {"k", keys, Residency::warm, false},
      {"v", values, Residency::warm, false},
      {"o", values, Residency::warm, true},
      {"state", storage(op.state_format, op.batch * op.value_heads * op.key_dim * op.value_dim), Residency::cold,
       op.writes_state},
      {"gates",
       Bytes(std::max<std::uint64_t>(1, rows * (op.value_heads * gates.value_head + op.heads * gates.key_head))),
       Residency::warm, false}};
  if (op.rule == LinearRule::mlstm) {
    tensors.push_back({"normaliser", storage(op.state_format, op.batch * op.value_heads * (op.key_dim + 1)),
                       Residency::cold, op.writes_state});
  }
  return tensors;
}

// Loads of the gates of one token (row `token`) for the CTA's heads.
std::vector<Op> gate_loads(const LinearAttention& op, const ChunkGrid& grid, Var token, std::uint64_t tokens) {
  const GateBytes gates = gate_bytes(op);
  std::vector<Op> ops;
  if (gates.value_head > 0) append(ops, GlobalLoad{tile_box(grid.value_view(kGates, gates.value_head), token, tokens)});
  if (gates.key_head > 0) {
    MatrixView view = grid.key_view(kGates, gates.key_head);
    Box box = tile_box(view, token, tokens);
    append(ops, GlobalLoad{box});
  }
  return ops;
}

}  // namespace

TileProgram recurrent_step_program(const LinearAttention& op) {
  const ChunkGrid grid{op.tokens, 1, op.value_heads / op.heads, op.batch * op.heads};
  const std::uint64_t key_row = storage(op.format, op.key_dim).count();
  const std::uint64_t value_row = storage(op.format, op.value_dim).count();
  const std::uint64_t columns = storage(op.format, kColumns).count();
  const Box state =
      tile_box(grid.chunk_view(kState, op.key_dim, storage(op.state_format, op.value_dim).count(), Var::none),
               Var::none, op.key_dim, Var::cta0, storage(op.state_format, kColumns).count());
  // The normaliser and the running maximum of mlstm: every CTA of a head needs them, the first one stores them.
  const bool normalised = op.rule == LinearRule::mlstm;
  const Box normaliser = tile_box(
      grid.chunk_view(kNormaliser, 1, storage(op.state_format, op.key_dim + 1).count(), Var::none), Var::none, 1);
  const std::uint64_t normaliser_flops =
      normalised ? step_flops(op) * (op.key_dim + 1) / (op.key_dim * op.value_dim + op.key_dim + 1) : 0;
  const auto body = [&](std::uint64_t useful, bool first) {
    const std::uint64_t values = op.key_dim * kColumns;
    const std::uint64_t column_flops = (step_flops(op) - normaliser_flops) / op.value_dim;
    std::vector<Op> ops;
    append(ops, lane_work(0, 20 * 32, 0, 60));
    if (op.reads_state) append(ops, GlobalLoad{state});
    if (op.reads_state && normalised) append(ops, GlobalLoad{normaliser});
    append(ops, GlobalLoad{tile_box(grid.key_view(kQ, key_row), Var::none, 1)},
           GlobalLoad{tile_box(grid.key_view(kK, key_row), Var::none, 1)},
           GlobalLoad{tile_box(grid.value_view(kV, value_row), Var::none, 1, Var::cta0, columns)},
           gate_loads(op, grid, Var::none, 1), WaitLoads{},
           lane_work((values + (normalised ? op.key_dim : 0)) * 5, values / 4, op.key_dim, kStepChain,
                     column_flops * useful + (first ? normaliser_flops : 0)));
    if (op.writes_state) append(ops, GlobalStore{state, CopyPath::lsu});
    if (op.writes_state && normalised && first) append(ops, GlobalStore{normaliser, CopyPath::lsu});
    append(ops, GlobalStore{tile_box(grid.value_view(kO, value_row), Var::none, 1, Var::cta0, columns), CopyPath::lsu});
    return ops;
  };
  TileProgram program;
  program.name = fmt::format("recurrent_step_{}_{}", models::name(op.rule), name(op.format));
  program.tensors = tensors_of(op);
  program.threads_per_cta = 32;
  program.registers_per_thread = 168;  // the state, 128 words at 128 keys, and what works on it
  program.shared_memory_per_cta = Bytes(1024);
  const std::uint64_t blocks = op.value_dim / kColumns, rest = op.value_dim % kColumns;
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t useful) {
    if (count == 0) return;
    add_class(program, {"columns", {Role{"warp", 1, body(useful, normalised && first == 0)}}, {}},
              {count, grid.members, 1, grid.sequences}, {static_cast<std::int64_t>(first), 0, 0, 0});
  };
  const std::uint64_t alone = normalised && blocks > 0 ? 1 : 0;  // blocks of a class of their own
  add(0, alone, kColumns);
  add(alone, blocks - alone, kColumns);
  add(blocks, rest > 0 ? 1 : 0, rest);
  return program;
}

TileProgram recurrent_serial_program(const LinearAttention& op) {
  const ChunkGrid grid{op.tokens, 1, op.value_heads / op.heads, op.batch * op.heads};
  const std::uint64_t threads = std::clamp<std::uint64_t>(round_up(op.value_dim, 32), 32, 1024);
  const std::uint64_t key_row = storage(op.format, op.key_dim).count();
  const std::uint64_t value_row = storage(op.format, op.value_dim).count();
  const std::uint64_t state_values = op.key_dim * op.value_dim;
  const Box state =
      tile_box(grid.chunk_view(kState, op.key_dim, storage(op.state_format, op.value_dim).count(), Var::none),
               Var::none, op.key_dim);
  std::vector<Op> before, after;
  if (op.reads_state) append(before, GlobalLoad{state}, WaitLoads{});
  if (op.writes_state) append(after, GlobalStore{state, CopyPath::lsu});
  // Each thread keeps one column of the state; the token's vectors are handed round through shared memory. Four
  // multiply-adds per state value, in chains of key_dim that the compiler splits in four.
  const auto body = [&](std::uint64_t) {
    std::vector<Op> ops;
    append(ops, CtaBarrier{0}, GlobalLoad{tile_box(grid.key_view(kQ, key_row), Var::loop0, 1)},
           GlobalLoad{tile_box(grid.key_view(kK, key_row), Var::loop0, 1)},
           GlobalLoad{tile_box(grid.value_view(kV, value_row), Var::loop0, 1)}, gate_loads(op, grid, Var::loop0, 1),
           WaitLoads{}, SharedAccess{4 * op.key_dim * threads / 8, 5 * 4 * op.key_dim}, CtaBarrier{1},
           lane_work(5 * state_values, state_values / 4, 2 * op.key_dim, 2 * op.key_dim, step_flops(op)),
           GlobalStore{tile_box(grid.value_view(kO, value_row), Var::loop0, 1), CopyPath::lsu});
    return ops;
  };
  return along_chunks(fmt::format("recurrent_serial_{}_{}", models::name(op.rule), name(op.format)), grid, 1,
                      {static_cast<std::uint32_t>(threads / 32),
                       static_cast<std::uint32_t>(std::min<std::uint64_t>(255, 48 + ceil_div(state_values, threads))),
                       5 * 4 * op.key_dim},
                      tensors_of(op), std::move(before), body, std::move(after));
}

std::vector<TileProgram> linear_attention_programs(const LinearAttention& op, const GpuSpec& gpu,
                                                   KernelLibrary library) {
  (void)models::cost(models::Operator(op));  // sizes are at least one, heads divide and products fit
  const bool hopper = gpu.sm.tensor.generation == TensorCoreGeneration::wgmma;
  if (library == KernelLibrary::vllm && hopper && flash_kda_takes(op)) return flash_kda_programs(op);
  if (op.tokens == 1) return {recurrent_step_program(op)};
  if (op.rule == LinearRule::dplr) return {recurrent_serial_program(op)};
  if (op.rule == LinearRule::ssd) return ssd_programs(op);
  return fla_programs(op);
}

}  // namespace lightcone::scenarios
