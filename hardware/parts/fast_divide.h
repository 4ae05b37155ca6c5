// SPDX-License-Identifier: Apache-2.0
// Division by a number that is fixed at construction, as one multiplication (Lemire, Kaser and Kurz, "Faster remainder
// by direct computation", 2019): exact for 32-bit numerators and divisors.
#pragma once

#include <cstdint>

#include "sim/base/error.h"

namespace lightcone::hardware {

class FastDivider {
 public:
  explicit FastDivider(std::uint32_t divisor) : divisor_(divisor), inverse_(~std::uint64_t{0} / divisor + 1) {
    LIGHTCONE_ASSERT(divisor > 0);
  }
  [[nodiscard]] std::uint32_t divisor() const { return divisor_; }
  [[nodiscard]] std::uint32_t quotient(std::uint32_t n) const {
    if (divisor_ == 1) return n;  // 2^64 does not fit the inverse
    return static_cast<std::uint32_t>((static_cast<Wide>(inverse_) * n) >> 64);
  }
  [[nodiscard]] std::uint32_t remainder(std::uint32_t n) const { return n - quotient(n) * divisor_; }

 private:
  __extension__ using Wide = unsigned __int128;
  std::uint32_t divisor_;
  std::uint64_t inverse_;
};

}  // namespace lightcone::hardware
