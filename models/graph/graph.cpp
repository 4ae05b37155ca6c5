// SPDX-License-Identifier: Apache-2.0
#include "models/graph/graph.h"

#include <boost/graph/reverse_graph.hpp>
#include <boost/graph/topological_sort.hpp>
#include <iterator>
#include <utility>

#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::models {
namespace {

std::uint64_t add_repeated(std::uint64_t sum, std::uint64_t value, std::uint64_t repeat) {
  constexpr const char* kWhat = "the work of one pass (sizes of the model times tokens)";
  return checked_sum(kWhat, {sum, checked_product(kWhat, {value, repeat})});
}

template <class Amount>
void accumulate(Amount& sum, Amount value, std::uint64_t repeat) {
  sum = Amount(add_repeated(sum.count(), value.count(), repeat));
}

Cost cost_of(const Section& section, const Node& node) {
  try {
    return cost(node.op);
  } catch (const ConfigError& error) {
    throw ConfigError("operator " + section.name() + "/" + node.name + ": " + error.what());
  }
}

}  // namespace

Section::Section(std::string name, std::uint64_t repeat) : name_(std::move(name)), repeat_(repeat) {}

Section::Index Section::add(std::string name, Operator op, const std::vector<Index>& inputs,
                            std::optional<Communication> input_gradient) {
  const Index added = boost::add_vertex(Node{std::move(name), std::move(op), std::move(input_gradient)}, graph_);
  for (const Index input : inputs) {
    LIGHTCONE_ASSERT(input < added);
    boost::add_edge(input, added, graph_);
  }
  return added;
}

std::vector<Section::Index> Section::inputs(Index index) const {
  std::vector<Index> out;
  const auto [first, last] = boost::in_edges(index, graph_);
  for (auto edge = first; edge != last; ++edge) out.push_back(boost::source(*edge, graph_));
  return out;
}

std::vector<Node> Section::in_order() const {
  // topological_sort writes what comes last first; on the reversed edges that is the order of execution.
  std::vector<Index> order;
  const auto reversed = boost::make_reverse_graph(graph_);
  boost::topological_sort(reversed, std::back_inserter(order));
  std::vector<Node> out;
  for (const Index index : order) out.push_back(graph_[index]);
  return out;
}

Cost total_cost(const Graph& graph) {
  Cost total;
  for (const Section& section : graph.sections) {
    for (const Node& node : section.in_order()) {
      const Cost one = cost_of(section, node);
      accumulate(total.matrix_flops, one.matrix_flops, section.repeat());
      accumulate(total.vector_flops, one.vector_flops, section.repeat());
      total.special = add_repeated(total.special, one.special, section.repeat());
      accumulate(total.weight_bytes, one.weight_bytes, section.repeat());
      accumulate(total.read_bytes, one.read_bytes, section.repeat());
      accumulate(total.written_bytes, one.written_bytes, section.repeat());
    }
  }
  return total;
}

}  // namespace lightcone::models
