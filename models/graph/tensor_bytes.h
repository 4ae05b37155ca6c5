// SPDX-License-Identifier: Apache-2.0
// Bytes of a tensor whose sizes come from users: like storage(), with every product checked.
#pragma once

#include <initializer_list>
#include <string_view>

#include "sim/base/checked.h"
#include "sim/base/number_format.h"

namespace lightcone::models {

// Bytes of a dense tensor of the given sizes, block scales included. ConfigError naming `what` on overflow.
inline Bytes tensor_bytes(std::string_view what, NumberFormat format, std::initializer_list<std::uint64_t> sizes) {
  const std::uint64_t elements = checked_product(what, sizes);
  const NumberFormatInfo& f = info(format);
  // storage() sums bits of values and of scales: room for both.
  (void)checked_product(what, {elements, std::uint64_t{f.bits} + f.scale_bits});
  return storage(format, elements);
}

}  // namespace lightcone::models
