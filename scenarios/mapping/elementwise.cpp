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

// Per output element: lane operations (conversions from and to the storage format included), the FLOPs among them that
// the operator's formula counts, and special functions.
struct KindWork {
  ElementwiseKind kind;
  std::string_view name;
  std::uint32_t inputs;
  std::uint64_t lane_ops, flops, special;
};
constexpr std::array<KindWork, 12> kKinds{{
    {ElementwiseKind::add, "add", 2, 3, 1, 0},
    {ElementwiseKind::mul, "mul", 2, 3, 1, 0},
    {ElementwiseKind::scale, "scale", 1, 2, 1, 0},
    {ElementwiseKind::silu_mul, "silu_mul", 2, 6, 3, 2},
    {ElementwiseKind::gelu_mul, "gelu_mul", 2, 9, 8, 1},
    {ElementwiseKind::gelu, "gelu", 1, 8, 7, 1},
    {ElementwiseKind::relu, "relu", 1, 2, 1, 0},
    {ElementwiseKind::tanh, "tanh", 1, 2, 0, 1},
    {ElementwiseKind::pow, "pow", 1, 3, 1, 2},
    {ElementwiseKind::divide, "divide", 2, 4, 1, 1},
    {ElementwiseKind::copy, "copy", 1, 0, 0, 0},
    {ElementwiseKind::quantize, "quantize", 1, 4, 3, 0},
}};

const KindWork& work_of(ElementwiseKind kind) {
  return *std::find_if(kKinds.begin(), kKinds.end(), [&](const KindWork& row) { return row.kind == kind; });
}

constexpr std::uint64_t kThreads = 256;
constexpr std::uint64_t kRowThreads = 1024;  // CTA of the scalar row kernels

VectorWork vector_work(const KindWork& kind, std::uint64_t elements, std::uint64_t elements_per_access) {
  VectorWork work;
  work.fp32_ops = elements * kind.lane_ops;
  work.fp32_flops = elements * kind.flops;
  work.sfu_ops = elements * kind.special;
  work.int_ops = elements / elements_per_access * (kind.inputs + 1) * 2 + elements / 8;  // addresses and bounds
  return work;
}

MatrixView flat(std::uint32_t tensor, Bytes bytes) { return {tensor, 1, bytes.count(), bytes.count(), {}, 0}; }

}  // namespace

bool is_vectorised(ElementwiseKind kind, KernelLibrary library) {
  const bool activation =
      kind == ElementwiseKind::silu_mul || kind == ElementwiseKind::gelu_mul || kind == ElementwiseKind::gelu;
  return !(activation && library == KernelLibrary::vllm);
}

TileProgram elementwise_program(const models::Elementwise& op, const GpuSpec&, KernelLibrary library) {
  if (op.elements == 0) throw ConfigError("elementwise: elements is zero");
  checked_product("elementwise bytes", {op.elements, 64});
  const KindWork& kind = work_of(op.kind);
  const bool vectorised = is_vectorised(op.kind, library);
  const std::uint64_t widest = std::max(info(op.input).bits, info(op.output).bits);
  const std::uint64_t per_access = vectorised ? std::max<std::uint64_t>(1, 128 / widest) : 1;
  const std::uint64_t threads =
      std::min(vectorised ? kThreads : kRowThreads, round_up(ceil_div(op.elements, per_access), 32));
  const std::uint64_t per_turn = threads * per_access;
  // Scalar kernels walk a row of several thousand values; eight turns stand for it.
  const std::uint64_t turns = vectorised ? 1 : std::min<std::uint64_t>(8, ceil_div(op.elements, per_turn));
  const std::uint64_t row_ctas = turns == 1 ? 0 : op.elements / (per_turn * turns);
  const std::uint64_t rest = op.elements - row_ctas * per_turn * turns;
  if (ceil_div(op.elements, per_turn) > UINT32_MAX) throw ConfigError("elementwise: more than 2^32 CTAs");

  TileProgram program;
  program.name =
      fmt::format("elementwise_{}_{}_{}{}", kind.name, name(op.input), name(op.output), vectorised ? "" : "_scalar");
  program.threads_per_cta = static_cast<std::uint32_t>(threads);
  program.registers_per_thread = 32;
  for (std::uint32_t input = 0; input < kind.inputs; ++input) {
    program.tensors.push_back({"input", storage(op.input, op.elements), Residency::warm, false});
  }
  program.tensors.push_back({"output", storage(op.output, op.elements), Residency::warm, true});

  // One turn of a CTA: `box_of(tensor, format)` says where its piece lies.
  const auto turn = [&](auto box_of) {
    std::vector<Op> ops;
    for (std::uint32_t input = 0; input < kind.inputs; ++input) append(ops, GlobalLoad{box_of(input, op.input)});
    append(ops, WaitLoads{}, vector_work(kind, per_turn, per_access),
           GlobalStore{box_of(kind.inputs, op.output), CopyPath::lsu});
    return ops;
  };
  const auto add_class = [&](std::vector<Op> ops, std::uint64_t ctas) {
    CtaGroup group;
    group.cta_class = static_cast<std::uint8_t>(program.classes.size());
    group.extent[0] = static_cast<std::uint32_t>(ctas);
    group.loops[0] = {0, static_cast<std::int64_t>(turns)};
    program.classes.push_back({"piece", {Role{"threads", program.threads_per_cta / 32, std::move(ops)}}, {}});
    program.groups.push_back(group);
  };
  if (row_ctas > 0) {
    std::vector<Op> ops;
    append(ops, LoopBegin{0}, turn([&](std::uint32_t tensor, NumberFormat format) {
             const std::uint64_t row = storage(format, per_turn * turns).count();
             const MatrixView rows{tensor, row_ctas, row, row, {}, 0};
             return tile_box(rows, Var::cta0, 1, Var::loop0, storage(format, per_turn).count());
           }),
           LoopEnd{});
    add_class(std::move(ops), row_ctas);
  }
  if (rest > 0) {
    add_class(turn([&](std::uint32_t tensor, NumberFormat format) {
                Box box = tile_box(flat(tensor, storage(format, op.elements)), Var::none, 1, Var::cta0,
                                   storage(format, per_turn).count());
                box.first_column_byte = storage(format, row_ctas * per_turn * turns).count();
                return box;
              }),
              ceil_div(rest, per_turn));
  }
  return program;
}

}  // namespace lightcone::scenarios
