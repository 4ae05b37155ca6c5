// SPDX-License-Identifier: Apache-2.0
// Writing a role's program as a list: single operations and pieces made by helpers, in order.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "hardware/program/tile_program.h"

namespace lightcone::scenarios {

template <class... Items>
void append(std::vector<hardware::Op>& ops, Items&&... items) {
  const auto add = [&ops](auto&& item) {
    if constexpr (std::is_same_v<std::decay_t<decltype(item)>, std::vector<hardware::Op>>) {
      ops.insert(ops.end(), item.begin(), item.end());
    } else {
      ops.emplace_back(item);
    }
  };
  (add(items), ...);
}

// Work on the general lanes, in scalar operations over the role. `chain`: cycles of the longest chain of operations
// that depend on one another; `flops`: those among the FP32 operations that the operator's formula counts.
inline hardware::VectorWork lane_work(std::uint64_t fp32, std::uint64_t ints, std::uint64_t special,
                                      std::uint64_t chain, std::uint64_t flops = 0) {
  hardware::VectorWork work;
  work.fp32_ops = fp32;
  work.fp32_flops = flops;
  work.int_ops = ints;
  work.sfu_ops = special;
  work.dependent_cycles = chain;
  return work;
}

}  // namespace lightcone::scenarios
