// SPDX-License-Identifier: Apache-2.0
#include "models/graph/communication.h"

#include <array>

#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

// In enum order.
constexpr std::array<std::string_view, 6> kKinds{"all_reduce", "reduce_scatter", "all_gather",
                                                 "all_to_all", "broadcast",      "send_receive"};
constexpr std::array<std::string_view, 5> kAxes{"tensor", "context", "expert", "data", "pipeline"};

}  // namespace

std::string_view name(CollectiveKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view name(ParallelAxis axis) { return kAxes[static_cast<std::size_t>(axis)]; }

// What the rank gives and gets, each once; what the algorithm moves besides is the mapping's. The sums are no work of
// the model: they belong to the collective.
Cost cost_of(const Communication& op) {
  require_positive(name(op.kind), {{"ranks", op.ranks}, {"elements", op.elements}});
  const Bytes whole = tensor_bytes("a message", op.format, {op.elements});
  const Bytes part = tensor_bytes("a message", op.format, {(op.elements + op.ranks - 1) / op.ranks});
  Cost c;
  c.read_bytes = op.kind == CollectiveKind::all_gather ? part : whole;
  c.written_bytes = op.kind == CollectiveKind::reduce_scatter ? part : whole;
  return c;
}

}  // namespace lightcone::models
