// SPDX-License-Identifier: Apache-2.0
// The computation of one pass of a model as a graph of operators (Boost.Graph). Layers that are equal share one
// section, which is executed `repeat` times; the first operators of a section read what the section before it left.
// Edges inside a section say which result an operator needs. Not described: tensors as objects, memory, streams.
#pragma once

#include <boost/graph/adjacency_list.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/graph/operator.h"

namespace lightcone::models {

struct Node {
  std::string name;
  Operator op;
  // What the gradient of the operator's input goes through before others read it: the sum over the ranks that each
  // multiply with their columns of a matrix (f of Megatron-LM, Shoeybi et al. 2019, section 3).
  std::optional<Communication> input_gradient = {};
};

class Section {
 public:
  using Index = std::size_t;

  Section(std::string name, std::uint64_t repeat);

  // Adds an operator that needs the results of `inputs` (operators of this section, added before).
  Index add(std::string name, Operator op, const std::vector<Index>& inputs = {},
            std::optional<Communication> input_gradient = {});

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t repeat() const { return repeat_; }
  [[nodiscard]] std::size_t size() const { return boost::num_vertices(graph_); }
  [[nodiscard]] const Node& node(Index index) const { return graph_[index]; }
  [[nodiscard]] std::vector<Index> inputs(Index index) const;

  // The operators in an order that puts each after those that it needs; operators without order between them stand as
  // they were added.
  [[nodiscard]] std::vector<Node> in_order() const;

 private:
  std::string name_;
  std::uint64_t repeat_;
  boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS, Node> graph_;
};

struct Graph {
  std::vector<Section> sections;  // in order of execution
};

// The sum over all operators, repeats counted. Throws ConfigError naming the operator whose sizes are zero or too
// large.
Cost total_cost(const Graph& graph);

}  // namespace lightcone::models
