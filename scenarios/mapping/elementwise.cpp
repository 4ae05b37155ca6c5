// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/elementwise.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using namespace hardware;
using models::ElementwiseKind;

// Lane operations of one output element, conversions from and to the storage format included.
std::uint64_t lane_ops(ElementwiseKind kind) {
  switch (kind) {
    case ElementwiseKind::copy:
      return 0;
    case ElementwiseKind::scale:
    case ElementwiseKind::relu:
    case ElementwiseKind::tanh:
    case ElementwiseKind::exp:
      return 2;
    case ElementwiseKind::add:
    case ElementwiseKind::mul:
    case ElementwiseKind::relu_squared:
    case ElementwiseKind::pow:
      return 3;
    case ElementwiseKind::sin:  // two multiply-adds bring the angle into range
    case ElementwiseKind::sigmoid:
    case ElementwiseKind::elu_plus_one:
    case ElementwiseKind::silu:
    case ElementwiseKind::divide:
    case ElementwiseKind::quantize:
      return 4;
    case ElementwiseKind::sigmoid_mul:
      return 5;
    case ElementwiseKind::silu_mul:
      return 6;
    case ElementwiseKind::gelu:
      return 8;
    case ElementwiseKind::gelu_mul:
      return 9;
  }
  return 0;
}

constexpr std::uint64_t kThreads = 256;
// PyTorch's vectorized_elementwise_kernel: 128 threads of four elements (CUDALoops.cuh up to 2.5).
constexpr std::uint64_t kTorchThreads = 128, kTorchElements = 4;
constexpr std::uint64_t kRowThreads = 1024;  // CTA of the scalar row kernels

VectorWork vector_work(const models::ElementwiseInfo& kind, std::uint64_t elements, std::uint64_t elements_per_access) {
  VectorWork work;
  work.fp32_ops = elements * lane_ops(kind.kind);
  work.fp32_flops = elements * kind.flops;
  work.sfu_ops = elements * kind.special;
  work.int_ops = elements / elements_per_access * (kind.inputs + 1) * 2 + elements / 8;  // addresses and bounds
  return work;
}

// Per element of a scalar kernel: what nvcc makes of one turn of vLLM's act_and_mul_kernel, silu in its defining form.
// FP32 pipe: 10 for exp and the IEEE division, 8 integer multiply-adds of addresses, 3 of half precision. Integer pipe
// and issue slots: 11 of addresses, comparison and conversion, 3 memory instructions, 4 branches. Special functions:
// exp2, reciprocal, the division's range check. No load of the next turn starts before this one's division is done.
constexpr std::uint64_t kScalarFp32 = 21, kScalarInt = 18, kScalarSpecial = 3;
constexpr std::uint64_t kScalarChain = 170;  // cycles: 30 dependent instructions, two special functions, the loop

VectorWork scalar_work(const models::ElementwiseInfo& kind, std::uint64_t elements) {
  VectorWork work;
  work.fp32_ops = elements * kScalarFp32;
  work.fp32_flops = elements * kind.flops;
  work.sfu_ops = elements * kScalarSpecial;
  work.int_ops = elements * kScalarInt;
  work.dependent_cycles = kScalarChain;
  return work;
}

}  // namespace

bool is_vectorised(ElementwiseKind kind, KernelLibrary library) {
  const bool activation =
      kind == ElementwiseKind::silu_mul || kind == ElementwiseKind::gelu_mul || kind == ElementwiseKind::gelu;
  return !(activation && library == KernelLibrary::vllm);
}

TileProgram elementwise_program(const models::Elementwise& op, const GpuSpec&, KernelLibrary library) {
  if (op.elements == 0) throw ConfigError("elementwise: elements is zero");
  if (op.row != 0 && op.elements % op.row != 0) throw ConfigError("elementwise: elements must be whole rows");
  checked_product("elementwise bytes", {op.elements, 64});
  const models::ElementwiseInfo& kind = models::info(op.kind);
  const bool vectorised = is_vectorised(op.kind, library);
  const std::uint64_t widest = std::max(info(op.input).bits, info(op.output).bits);
  const bool torch = vectorised && op.kind != ElementwiseKind::quantize;  // quantisation is the server's own kernel
  const std::uint64_t per_access = torch ? kTorchElements : vectorised ? std::max<std::uint64_t>(1, 128 / widest) : 1;
  // A scalar kernel walks one row per CTA; a vectorised one takes the tensors as one long row, a piece per CTA.
  const std::uint64_t row = vectorised || op.row == 0 ? op.elements : op.row;
  const std::uint64_t most = torch ? kTorchThreads : vectorised ? kThreads : kRowThreads;
  const std::uint64_t threads = std::min(most, round_up(ceil_div(row, per_access), 32));
  const std::uint64_t per_turn = threads * per_access;
  if (op.elements / std::min(per_turn, row) >= UINT32_MAX) throw ConfigError("elementwise: more than 2^32 CTAs");

  TileProgram program;
  program.name =
      fmt::format("elementwise_{}_{}_{}{}", kind.name, name(op.input), name(op.output), vectorised ? "" : "_scalar");
  program.threads_per_cta = static_cast<std::uint32_t>(threads);
  program.registers_per_thread = 32;
  for (std::uint32_t input = 0; input < kind.inputs; ++input) {
    program.tensors.push_back({"input", storage(op.input, op.elements), Residency::warm, false});
  }
  program.tensors.push_back({"output", storage(op.output, op.elements), Residency::warm, true});

  // One turn of a CTA over `elements` of the row, from element `first` on.
  const auto turn = [&](Var row_var, Var column_var, std::uint64_t first, std::uint64_t elements) {
    const auto box_of = [&](std::uint32_t tensor, NumberFormat format) {
      const std::uint64_t bytes = storage(format, row).count();
      Box box = tile_box({tensor, op.elements / row, bytes, bytes, {}, 0}, row_var, 1, column_var,
                         storage(format, elements).count());
      box.first_column_byte = storage(format, first).count();
      return box;
    };
    std::vector<Op> ops;
    for (std::uint32_t input = 0; input < kind.inputs; ++input) append(ops, GlobalLoad{box_of(input, op.input)});
    append(ops, WaitLoads{}, vectorised ? vector_work(kind, elements, per_access) : scalar_work(kind, elements),
           GlobalStore{box_of(kind.inputs, op.output), CopyPath::lsu});
    return ops;
  };
  CtaGroup group;
  std::vector<Op> ops;
  if (vectorised || op.row == 0) {
    group.extent[0] = static_cast<std::uint32_t>(ceil_div(op.elements, per_turn));
    ops = turn(Var::none, Var::cta0, 0, per_turn);
  } else {
    const std::uint64_t turns = row / per_turn, rest = row % per_turn;
    group.extent[0] = static_cast<std::uint32_t>(op.elements / row);
    group.loops[0] = {0, static_cast<std::int64_t>(turns)};
    append(ops, LoopBegin{0}, turn(Var::cta0, Var::loop0, 0, per_turn), LoopEnd{});
    if (rest > 0) append(ops, turn(Var::cta0, Var::none, turns * per_turn, rest));
  }
  program.classes.push_back({"piece", {Role{"threads", program.threads_per_cta / 32, std::move(ops)}}, {}});
  program.groups.push_back(group);
  return program;
}

}  // namespace lightcone::scenarios
