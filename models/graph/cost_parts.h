// SPDX-License-Identifier: Apache-2.0
// What the cost formulas of the operators share: checked products, sums of bytes, sizes that must not be zero.
#pragma once

#include <fmt/core.h>

#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "models/graph/operator.h"
#include "models/graph/tensor_bytes.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::models {

struct Size {
  std::string_view name;
  std::uint64_t value;
};

inline void require_positive(std::string_view op, std::initializer_list<Size> sizes) {
  std::vector<Diagnostic> faults;
  for (const Size& size : sizes) {
    if (size.value != 0) continue;
    Diagnostic fault;
    fault.field = fmt::format("{}.{}", op, size.name);
    fault.message = "is 0, must be at least 1";
    faults.push_back(std::move(fault));
  }
  if (!faults.empty()) throw ConfigError(std::move(faults));
}

inline Flops flops(std::string_view what, std::initializer_list<std::uint64_t> factors) {
  return Flops(checked_product(what, factors));
}

inline Bytes total(std::string_view what, std::initializer_list<Bytes> parts) {
  std::uint64_t sum = 0;
  for (const Bytes part : parts) sum = checked_sum(what, {sum, part.count()});
  return Bytes(sum);
}

// One page for all: a new operator kind gets its formula in one of the cost_*.cpp.
Cost cost_of(const CausalConv& op);
Cost cost_of(const SelectiveScan& op);
Cost cost_of(const LinearAttention& op);
Cost cost_of(const LinearScan& op);
Cost cost_of(const SparseAttention& op);
Cost cost_of(const PoolRows& op);
Cost cost_of(const PageScores& op);
Cost cost_of(const Sort& op);
Cost cost_of(const FftConv& op);
Cost cost_of(const StateFilter& op);
Cost cost_of(const SerialRecurrence& op);
Cost cost_of(const TopK& op);
Cost cost_of(const GatherRows& op);
Cost cost_of(const CombineRows& op);
Cost cost_of(const GroupedGemm& op);

// Training (cost_backward.cpp, cost_backward_recurrent.cpp).
Cost cost_of(const Backward<Attention>& op);
Cost cost_of(const Backward<Norm>& op);
Cost cost_of(const Backward<Softmax>& op);
Cost cost_of(const Backward<Elementwise>& op);
Cost cost_of(const Backward<EmbeddingGather>& op);
Cost cost_of(const Backward<CausalConv>& op);
Cost cost_of(const Backward<SelectiveScan>& op);
Cost cost_of(const Backward<LinearAttention>& op);
Cost cost_of(const Backward<LinearScan>& op);
Cost cost_of(const Backward<TopK>& op);
Cost cost_of(const Backward<GatherRows>& op);
Cost cost_of(const Backward<CombineRows>& op);
Cost cost_of(const Backward<GroupedGemm>& op);
Cost cost_of(const ColumnSum& op);
Cost cost_of(const CrossEntropy& op);
Cost cost_of(const AdamW& op);

Cost cost_of(const Communication& op);

// Keys that at least one query sees: these must be read.
std::uint64_t visible_keys(const Attention& a);
// Bytes of the decays and mixing strengths of linear attention.
Bytes gate_bytes(const LinearAttention& a, std::uint64_t rows);

}  // namespace lightcone::models
