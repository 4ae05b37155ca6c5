// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic on sizes that come from users: overflow is an error that names the product, never a wrapped
// number.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "sim/base/error.h"

namespace lightcone {

// The product of `factors`, or ConfigError naming `what` when it does not fit 63 bits.
inline std::uint64_t checked_product(std::string_view what, std::initializer_list<std::uint64_t> factors) {
  std::uint64_t product = 1;
  for (const std::uint64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product) || product > static_cast<std::uint64_t>(INT64_MAX)) {
      throw ConfigError(std::string(what) + " is too large: the product of the sizes does not fit 63 bits");
    }
  }
  return product;
}

// The sum of `terms`, or ConfigError naming `what` when it does not fit 63 bits.
inline std::uint64_t checked_sum(std::string_view what, std::initializer_list<std::uint64_t> terms) {
  std::uint64_t sum = 0;
  for (const std::uint64_t term : terms) {
    if (__builtin_add_overflow(sum, term, &sum) || sum > static_cast<std::uint64_t>(INT64_MAX)) {
      throw ConfigError(std::string(what) + " is too large: the sum of the parts does not fit 63 bits");
    }
  }
  return sum;
}

constexpr std::uint64_t ceil_div(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }
constexpr std::uint64_t round_up(std::uint64_t a, std::uint64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace lightcone
