// SPDX-License-Identifier: Apache-2.0
// What the readers of measured rows share: sizes and formats from a point's text, and who ran it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "scenarios/validate/row_to_operator.h"

namespace lightcone::scenarios {

// Raised by readers, turned into RowMapping::reason by map_row.
struct Unsupported {
  std::string reason;
};

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }
inline bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

// Throw Unsupported when the size is missing, zero (size alone), no whole number or above 10^15, so that sums of a few
// sizes stay far from 64 bits.
std::uint64_t size(const OperatingPoint& point, std::string_view name);
std::uint64_t size_or(const OperatingPoint& point, std::string_view name, std::uint64_t missing);
bool flag_or(const OperatingPoint& point, std::string_view name, bool missing);
NumberFormat format(const std::string& name);

// Library, timing and launch of the point's source; no operators yet.
MappedPoint start(const OperatingPoint& point);

}  // namespace lightcone::scenarios
