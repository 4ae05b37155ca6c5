// SPDX-License-Identifier: Apache-2.0
// Shortest ways by search (Boost.Graph), for degraded machines, where the way of a level may be broken.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "hardware/spec/link_table.h"

namespace lightcone::hardware {

class GraphSearch {
 public:
  // `forwards`: whether a vertex passes messages on; switches do, GPUs in a torus.
  GraphSearch(const LinkTable& links, std::size_t vertices, std::function<bool(VertexIndex)> forwards);
  ~GraphSearch();

  // For every vertex that messages from `origin` reach by a shortest way: the vertex before it; else kNowhere.
  [[nodiscard]] std::vector<VertexIndex> before(VertexIndex origin) const;

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
  std::function<bool(VertexIndex)> forwards_;
};

}  // namespace lightcone::hardware
