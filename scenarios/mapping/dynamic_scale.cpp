// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/dynamic_scale.h"

#include <fmt/core.h>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using namespace hardware;

constexpr std::uint64_t kSector = 32;
constexpr std::uint64_t kGridCtas = 1024, kGridThreads = 1024;  // TensorRT-LLM
constexpr std::uint64_t kRowThreads = 256, kUnrolled = 4;       // vLLM; nvcc keeps four turns in flight
constexpr std::uint64_t kReductionCycles = 150;                 // shuffles, one hand-over through shared memory
constexpr std::uint64_t kTreeCycles = 8 * 60;  // vLLM: eight halvings through shared memory, each a barrier

TileProgram clear_scale() { return memset_program(kSector); }

// Per value: convert, absolute value and maximum; address, comparison and branch of the loop.
VectorWork maximum_of(std::uint64_t values) {
  VectorWork work;
  work.fp32_ops = 3 * values;
  work.fp32_flops = 2 * values;
  work.int_ops = 5 * values;
  work.dependent_cycles = 30;
  return work;
}

}  // namespace

TileProgram memset_program(std::uint64_t bytes) {
  TileProgram program;
  program.name = "memset";
  program.tensors = {{"cleared", Bytes(bytes), Residency::warm, true}};
  program.threads_per_cta = 32;
  program.registers_per_thread = 16;
  std::vector<Op> ops;
  append(ops, GlobalStore{tile_box({0, 1, bytes, bytes, {}, 0}, Var::none, 1), CopyPath::lsu});
  program.classes = {{"clear", {Role{"threads", 1, std::move(ops)}}, {}}};
  program.groups.resize(1);
  return program;
}

std::vector<TileProgram> dynamic_scale_programs(const models::Elementwise& op, KernelLibrary library) {
  const bool by_row = library == KernelLibrary::vllm && op.row != 0;
  const std::uint64_t line = by_row ? op.row : op.elements;
  const std::uint64_t lines = op.elements / line;
  const std::uint64_t ctas = by_row ? lines : kGridCtas;
  const std::uint64_t threads = by_row ? kRowThreads : kGridThreads;
  // One turn of a CTA, and the step from one turn of a CTA to its next.
  const std::uint64_t turn = by_row ? kRowThreads * kUnrolled : kGridThreads;
  const std::uint64_t stride = by_row ? turn : kGridCtas * kGridThreads;
  const std::uint64_t turns = line / stride, rest = line % stride;
  if (ctas > UINT32_MAX) throw ConfigError("quantisation: more than 2^32 rows");

  TileProgram program;
  program.name = fmt::format("abs_max_{}{}", name(op.input), by_row ? "_rows" : "");
  program.threads_per_cta = static_cast<std::uint32_t>(threads);
  program.registers_per_thread = 24;
  program.shared_memory_per_cta = Bytes(1024);
  program.tensors = {{"input", storage(op.input, op.elements), Residency::warm, false}};
  const auto bytes = [&](std::uint64_t values) { return storage(op.input, values).count(); };
  std::vector<Op> ops;
  if (by_row) {
    const MatrixView rows{0, lines, bytes(line), bytes(line), {}, 0};
    Box last = tile_box(rows, Var::cta0, 1, Var::none, bytes(rest));
    last.first_column_byte = bytes(turns * turn);
    if (turns > 0) {
      append(ops, LoopBegin{0}, GlobalLoad{tile_box(rows, Var::cta0, 1, Var::loop0, bytes(turn))}, WaitLoads{},
             maximum_of(turn), LoopEnd{});
    }
    if (rest > 0) append(ops, GlobalLoad{last}, WaitLoads{}, maximum_of(rest));
  } else {
    // The grid walks the tensor in strides of 2^20 values, of which each CTA takes 1024.
    if (turns > 0) {
      const MatrixView strides{0, turns, bytes(stride), bytes(stride), {}, 0};
      append(ops, LoopBegin{0}, GlobalLoad{tile_box(strides, Var::loop0, 1, Var::cta0, bytes(turn))}, WaitLoads{},
             maximum_of(turn), LoopEnd{});
    }
    if (rest > 0) {
      const MatrixView whole{0, 1, bytes(line), bytes(line), {}, 0};
      Box last = tile_box(whole, Var::none, 1, Var::cta0, bytes(turn));
      last.first_column_byte = bytes(turns * stride);
      append(ops, GlobalLoad{last}, WaitLoads{}, maximum_of(turn));
    }
  }
  VectorWork reduce;
  reduce.fp32_ops = 2 * threads;
  reduce.dependent_cycles = by_row ? kTreeCycles : kReductionCycles;
  append(ops, reduce, CtaBarrier{0}, Signal{});
  program.classes = {{"maximum", {Role{"threads", program.threads_per_cta / 32, std::move(ops)}}, {}}};
  CtaGroup group;
  group.extent[0] = static_cast<std::uint32_t>(ctas);
  group.loops[0] = {0, static_cast<std::int64_t>(turns)};
  program.groups = {group};
  std::vector<TileProgram> programs{clear_scale()};
  programs.push_back(std::move(program));
  return programs;
}

}  // namespace lightcone::scenarios
