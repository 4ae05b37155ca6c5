// SPDX-License-Identifier: Apache-2.0
// Strong ids: an index that cannot be mixed up with the index of something else.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace lightcone {

template <class Tag>
class Id {
 public:
  constexpr Id() = default;
  constexpr explicit Id(std::size_t index) : index_(static_cast<std::uint32_t>(index)) {}
  [[nodiscard]] constexpr std::size_t index() const { return index_; }
  constexpr auto operator<=>(const Id&) const = default;

 private:
  std::uint32_t index_ = 0;
};

}  // namespace lightcone
