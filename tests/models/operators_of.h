// SPDX-License-Identifier: Apache-2.0
// The operators of one kind in a graph, each once however often its section repeats.
#pragma once

#include <variant>
#include <vector>

#include "models/graph/graph.h"

namespace lightcone::test {

template <class Kind>
std::vector<Kind> all_of_kind(const models::Graph& graph) {
  std::vector<Kind> out;
  for (const models::Section& section : graph.sections) {
    for (const models::Node& node : section.in_order()) {
      if (const auto* op = std::get_if<Kind>(&node.op)) out.push_back(*op);
    }
  }
  return out;
}

}  // namespace lightcone::test
