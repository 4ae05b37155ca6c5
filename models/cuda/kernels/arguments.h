// SPDX-License-Identifier: Apache-2.0
// What a primitive is called with: its sizes by name, and tensors in the order that cases/ documents.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace lightcone::models::cuda {

using Sizes = std::map<std::string, std::int64_t>;

struct Arguments {
  Sizes sizes;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;

  // 0 where a size is not named.
  [[nodiscard]] int size(const std::string& name) const {
    const auto found = sizes.find(name);
    return found == sizes.end() ? 0 : static_cast<int>(found->second);
  }
  template <class T>
  [[nodiscard]] const T* input(std::size_t index) const {
    return static_cast<const T*>(inputs.at(index));
  }
  template <class T>
  [[nodiscard]] T* output(std::size_t index) const {
    return static_cast<T*>(outputs.at(index));
  }
};

// A grid of CTAs.
struct Grid {
  int x = 1, y = 1, z = 1;
};

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

}  // namespace lightcone::models::cuda
