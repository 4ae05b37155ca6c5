// SPDX-License-Identifier: Apache-2.0
// The links of a machine graph by source, then destination: found by their ends without a table of pairs.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "hardware/spec/machine_graph.h"

namespace lightcone::hardware {

inline constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();

class LinkTable {
 public:
  void add(const DirectedLink& link) { links_.push_back(link); }
  // Sorts what was added; links with the same ends become one bundle.
  void finish(std::size_t vertices);
  void remove(const std::function<bool(const DirectedLink&)>& dead);

  [[nodiscard]] const std::vector<DirectedLink>& all() const { return links_; }
  [[nodiscard]] DirectedLink& at(LinkIndex link) { return links_[link]; }
  [[nodiscard]] LinkIndex between(VertexIndex from, VertexIndex to) const;  // kNowhere: none

 private:
  void sort(std::size_t vertices);
  void index(std::size_t vertices);
  std::vector<DirectedLink> links_;
  std::vector<std::uint32_t> first_;  // out-links of each vertex begin here
};

}  // namespace lightcone::hardware
