// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/half.h"

#include "sim/base/content_hash.h"

namespace lightcone::scenarios {

MeasuredHalf half_of(const OperatingPoint& point) {
  ContentHash hash;
  hash.add(std::string_view(point.op));
  for (const auto& [name, value] : point.params) hash.add(std::string_view(name)).add(std::string_view(value));
  // The last of 32 hex digits is even as often as odd.
  const char digit = hash.hex().back();
  const int value = digit <= '9' ? digit - '0' : digit - 'a';
  return value % 2 == 0 ? MeasuredHalf::calibration : MeasuredHalf::held_out;
}

}  // namespace lightcone::scenarios
