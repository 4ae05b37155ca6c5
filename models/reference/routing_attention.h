// SPDX-License-Identifier: Apache-2.0
// Routing Transformer (Roy et al. 2020; details of lucidrains/routing-transformer): queries and keys, normalised, are
// compared with learned centroids; each cluster takes the `window` nearest queries and the `window` nearest keys, and
// attends among them, causally, with one learned memory key and value per cluster. A query in several clusters gets the
// mean of their outputs, one in no cluster gets zero.
#pragma once

#include "models/reference/flash_attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::reference {

template <class Number>
struct RoutingInputs {
  Matrix<Number> q, k, v;             // [T, d], [T, d], [T, dv]
  Matrix<Number> centroids;           // [clusters, d], of unit length
  Matrix<Number> memory_k, memory_v;  // [clusters, d], [clusters, dv]
  Index window = 0;                   // tokens per cluster; T / clusters in the paper
};

// Products [T, clusters] of normalised tokens with the centroids.
template <class Number>
Matrix<Number> cluster_similarity(const Matrix<Number>& unit, const Matrix<Number>& centroids) {
  Matrix<Number> similarity(unit.rows(), centroids.rows());
  for (Index t = 0; t < unit.rows(); ++t) {
    for (Index c = 0; c < centroids.rows(); ++c) similarity(t, c) = dot(unit.row(t), centroids.row(c));
  }
  return similarity;
}

// Tokens of x[T, d] in each cluster, ascending: the `window` with the largest product with the centroid.
template <class Number>
std::vector<std::vector<Index>> cluster_members(const Matrix<Number>& x, const Matrix<Number>& centroids,
                                                Index window) {
  const Matrix<Number> similarity = cluster_similarity<Number>(x.rowwise().normalized(), centroids);
  std::vector<std::vector<Index>> members;
  for (Index c = 0; c < centroids.rows(); ++c) members.push_back(sorted_top_k(similarity.col(c), window));
  return members;
}

// By definition: for each cluster a dense attention over all tokens and the memory, under the mask of the cluster.
inline Matrix<double> routing_attention(const RoutingInputs<double>& in) {
  const Index tokens = in.q.rows(), clusters = in.centroids.rows();
  const auto query_members = cluster_members(in.q, in.centroids, in.window);
  const auto key_members = cluster_members(in.k, in.centroids, in.window);
  Matrix<double> sum = Matrix<double>::Zero(tokens, in.v.cols());
  Vector<double> times = Vector<double>::Zero(tokens);
  for (Index c = 0; c < clusters; ++c) {
    const auto& queries = query_members[static_cast<std::size_t>(c)];
    const auto& keys = key_members[static_cast<std::size_t>(c)];
    Matrix<double> k(tokens + 1, in.k.cols()), v(tokens + 1, in.v.cols());
    k << in.k, in.memory_k.row(c);
    v << in.v, in.memory_v.row(c);
    const Mask mask = Mask::NullaryExpr(tokens, tokens + 1, [&](Index i, Index j) {
      const bool key = j == tokens || (j <= i && std::binary_search(keys.begin(), keys.end(), j));
      return key && std::binary_search(queries.begin(), queries.end(), i);
    });
    sum += attention(in.q, k, v, mask).output;
    for (const Index i : queries) times(i) += 1;
  }
  for (Index i = 0; i < tokens; ++i) sum.row(i) /= std::max(times(i), 1.0);
  return sum;
}

// As kernels: gather the members, attend within each cluster, scatter the mean.
template <class Number>
Matrix<Number> routing_attention_by_gather(const RoutingInputs<Number>& in, FlashTiles tiles) {
  const auto query_members = cluster_members(in.q, in.centroids, in.window);
  const auto key_members = cluster_members(in.k, in.centroids, in.window);
  Matrix<Number> output = Matrix<Number>::Constant(in.q.rows(), in.v.cols(), Number(0));
  std::vector<double> times(static_cast<std::size_t>(in.q.rows()));
  for (Index c = 0; c < in.centroids.rows(); ++c) {
    const auto& queries = query_members[static_cast<std::size_t>(c)];
    const auto& keys = key_members[static_cast<std::size_t>(c)];
    const Index n = std::ssize(keys);
    Matrix<Number> k(n + 1, in.k.cols()), v(n + 1, in.v.cols());
    k << in.memory_k.row(c), in.k(keys, Eigen::all);
    v << in.memory_v.row(c), in.v(keys, Eigen::all);
    const Mask mask = Mask::NullaryExpr(std::ssize(queries), n + 1, [&](Index i, Index j) {
      return j == 0 || keys[static_cast<std::size_t>(j - 1)] <= queries[static_cast<std::size_t>(i)];
    });
    const Matrix<Number> q = in.q(queries, Eigen::all);
    output(queries, Eigen::all) += flash_attention(q, k, v, mask, tiles).output;
    for (const Index i : queries) times[static_cast<std::size_t>(i)] += 1;
  }
  for (Index i = 0; i < output.rows(); ++i) {
    output.row(i) /= static_cast<Number>(std::max(times[static_cast<std::size_t>(i)], 1.0));
  }
  return output;
}

// One training step of the centroids: each token goes to its nearest centroid; a centroid moves towards the mean of its
// tokens by an exponential moving average and is normalised again; one without tokens stays.
inline Matrix<double> update_centroids(const Matrix<double>& centroids, const Matrix<double>& x, double decay = 0.999) {
  const Matrix<double> unit = x.rowwise().normalized();
  Matrix<double> sum = Matrix<double>::Zero(centroids.rows(), centroids.cols()), updated = centroids;
  Vector<double> members = Vector<double>::Zero(centroids.rows());
  for (Index t = 0; t < x.rows(); ++t) {
    const Index nearest = top_k((centroids * unit.row(t).transpose()).eval(), 1)[0];
    sum.row(nearest) += unit.row(t);
    members(nearest) += 1;
  }
  for (Index c = 0; c < centroids.rows(); ++c) {
    if (members(c) == 0) continue;
    updated.row(c) = (decay * centroids.row(c) + (1 - decay) * sum.row(c) / members(c)).normalized();
  }
  return updated;
}

}  // namespace lightcone::models::reference
