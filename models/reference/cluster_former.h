// SPDX-License-Identifier: Apache-2.0
// Attention of a Cluster-Former layer (Wang et al. 2020, bidirectional): every hidden state goes to the centroid with
// the largest product, the sequence is sorted by cluster (stable), cut into segments of fixed length, and attends
// within its segment. The centroids come from k-means over a memory bank and are an input here. From the paper's
// description; no published code was at hand, so overlap of segments and padding are not modelled. One head.
#pragma once

#include <numeric>

#include "models/reference/flash_attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::reference {

// Tokens in the order of their clusters: hidden[T, d], centroids[clusters, d].
template <class Number>
std::vector<Index> sorted_by_cluster(const Matrix<Number>& hidden, const Matrix<Number>& centroids) {
  std::vector<Index> cluster, order(static_cast<std::size_t>(hidden.rows()));
  for (Index t = 0; t < hidden.rows(); ++t) {
    Vector<Number> products(centroids.rows());
    for (Index c = 0; c < centroids.rows(); ++c) products(c) = dot(hidden.row(t), centroids.row(c));
    cluster.push_back(top_k(products, 1)[0]);
  }
  std::iota(order.begin(), order.end(), Index(0));
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) {
    return cluster[static_cast<std::size_t>(a)] < cluster[static_cast<std::size_t>(b)];
  });
  return order;
}

// By definition: dense attention under the mask of equal segments. q[T, d], k[T, d], v[T, dv].
inline Matrix<double> cluster_former_attention(const Matrix<double>& q, const Matrix<double>& k,
                                               const Matrix<double>& v, const std::vector<Index>& order,
                                               Index segment) {
  std::vector<Index> segment_of(order.size());
  for (std::size_t n = 0; n < order.size(); ++n) {
    segment_of[static_cast<std::size_t>(order[n])] = static_cast<Index>(n) / segment;
  }
  const Mask mask = Mask::NullaryExpr(q.rows(), k.rows(), [&](Index i, Index j) {
    return segment_of[static_cast<std::size_t>(i)] == segment_of[static_cast<std::size_t>(j)];
  });
  return attention(q, k, v, mask).output;
}

// Gathered segment by segment, attended densely, scattered back.
template <class Number>
Matrix<Number> cluster_former_by_segments(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                          const std::vector<Index>& order, Index segment, FlashTiles tiles) {
  Matrix<Number> output(q.rows(), v.cols());
  for (Index first = 0; first < q.rows(); first += segment) {
    const std::vector<Index> rows(order.begin() + first, order.begin() + std::min(first + segment, q.rows()));
    const Mask all = full_mask(std::ssize(rows), std::ssize(rows));
    output(rows, Eigen::all) =
        flash_attention<Number>(q(rows, Eigen::all), k(rows, Eigen::all), v(rows, Eigen::all), all, tiles).output;
  }
  return output;
}

}  // namespace lightcone::models::reference
