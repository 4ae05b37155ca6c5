// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/graph_search.h"

#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/filtered_graph.hpp>
#include <utility>

namespace lightcone::hardware {

using Csr = boost::compressed_sparse_row_graph<boost::directedS>;

struct GraphSearch::Graph {
  Csr csr;
};

namespace {

struct MayLeave {
  const Csr* csr = nullptr;
  const std::function<bool(VertexIndex)>* forwards = nullptr;
  VertexIndex origin = 0;
  bool operator()(const Csr::edge_descriptor& edge) const {
    const auto vertex = static_cast<VertexIndex>(boost::source(edge, *csr));
    return vertex == origin || (*forwards)(vertex);
  }
};

}  // namespace

GraphSearch::GraphSearch(const LinkTable& links, std::size_t vertices, std::function<bool(VertexIndex)> forwards)
    : forwards_(std::move(forwards)) {
  std::vector<std::pair<VertexIndex, VertexIndex>> edges;
  edges.reserve(links.all().size());
  for (const DirectedLink& link : links.all()) edges.emplace_back(link.from, link.to);
  graph_ = std::make_unique<Graph>(Graph{Csr(boost::edges_are_sorted, edges.begin(), edges.end(), vertices)});
}

GraphSearch::~GraphSearch() = default;

std::vector<VertexIndex> GraphSearch::before(VertexIndex origin) const {
  const Csr& csr = graph_->csr;
  std::vector<VertexIndex> before(boost::num_vertices(csr), kNowhere);
  const boost::filtered_graph<Csr, MayLeave> ways(csr, MayLeave{&csr, &forwards_, origin});
  const auto record = boost::record_predecessors(before.data(), boost::on_tree_edge());
  boost::breadth_first_search(
      ways, boost::vertex(origin, csr),
      boost::visitor(boost::make_bfs_visitor(record)).vertex_index_map(boost::get(boost::vertex_index, csr)));
  before[origin] = origin;
  return before;
}

}  // namespace lightcone::hardware
