// SPDX-License-Identifier: Apache-2.0
// Writing a role's program as a list: single operations and pieces made by helpers, in order.
#pragma once

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

}  // namespace lightcone::scenarios
