// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include "hardware/program/sums.h"
#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

// Adds what one operation does over all executions of its scope.
struct AddTotals {
  ProgramTotals& totals;
  const VarRanges& ranges;
  std::uint64_t runs;

  void operator()(const LoadTile& load) { totals.loaded += Bytes(total_bytes(load.box, ranges)); }
  void operator()(const GlobalLoad& load) { totals.loaded += Bytes(total_bytes(load.box, ranges)); }
  void operator()(const GlobalStore& store) { totals.stored += Bytes(total_bytes(store.box, ranges)); }
  void operator()(const Mma& mma) {
    totals.mma_executed += Flops(2ULL * mma.m * mma.n * mma.k * runs);
    totals.mma_useful += Flops(total_useful_flops(mma, ranges));
  }
  void operator()(const VectorWork& work) {
    totals.vector_flops += Flops(work.fp32_flops * runs);
    totals.sfu_ops += work.sfu_ops * runs;
  }
  template <class Other>
  void operator()(const Other&) {}
};

void add_role(const Role& role, const CtaGroup& group, ProgramTotals& totals) {
  VarRanges ranges = cta_ranges(group);
  std::vector<std::size_t> open;
  for (const Op& op : role.ops) {
    if (const auto* begin = std::get_if<LoopBegin>(&op)) {
      const std::size_t var = static_cast<std::size_t>(Var::loop0) + begin->loop;
      ranges[var] = group.loops[begin->loop];
      open.push_back(var);
    } else if (std::holds_alternative<LoopEnd>(op)) {
      LIGHTCONE_ASSERT(!open.empty());
      ranges[open.back()] = {0, 1};
      open.pop_back();
    } else if (const std::uint64_t runs = executions(ranges); runs > 0) {
      std::visit(AddTotals{totals, ranges, runs}, op);
    }
  }
}

}  // namespace

ProgramTotals totals(const TileProgram& program) {
  ProgramTotals sum;
  for (const CtaGroup& group : program.groups) {
    for (const Role& role : program.classes[group.cta_class].roles) add_role(role, group, sum);
  }
  return sum;
}

}  // namespace lightcone::hardware
