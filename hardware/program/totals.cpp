// SPDX-License-Identifier: Apache-2.0
#include "hardware/program/sums.h"

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

}  // namespace

ProgramTotals totals(const TileProgram& program) {
  ProgramTotals sum;
  for (const CtaGroup& group : program.groups) {
    for (const Role& role : program.classes[group.cta_class].roles) {
      for_each_operation(role, group, [&](const Op& op, const VarRanges& ranges) {
        if (const std::uint64_t runs = executions(ranges); runs > 0) std::visit(AddTotals{sum, ranges, runs}, op);
      });
    }
  }
  return sum;
}

}  // namespace lightcone::hardware
