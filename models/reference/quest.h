// SPDX-License-Identifier: Apache-2.0
// Quest (Tang et al. 2024), decode only: each page of the KV cache keeps the elementwise minimum and maximum of its
// keys; sum_i max(q_i min_i, q_i max_i) bounds q . k of the page from above, and the query attends to the pages of the
// largest bounds only. One head.
#pragma once

#include "models/reference/flash_attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::reference {

template <class Number>
struct PageBounds {
  Matrix<Number> low, high;  // [pages, d]
};

template <class Number>
PageBounds<Number> page_bounds(const Matrix<Number>& k, Index page) {
  const Index pages = (k.rows() + page - 1) / page;
  PageBounds<Number> bounds{Matrix<Number>(pages, k.cols()), Matrix<Number>(pages, k.cols())};
  for (Index p = 0; p < pages; ++p) {
    const auto keys = k.middleRows(p * page, std::min(page, k.rows() - p * page));
    bounds.low.row(p) = keys.colwise().minCoeff();
    bounds.high.row(p) = keys.colwise().maxCoeff();
  }
  return bounds;
}

// One bound per page for the query q[d].
template <class Number>
Vector<Number> page_scores(const Vector<Number>& q, const PageBounds<Number>& bounds) {
  Vector<Number> scores = Vector<Number>::Constant(bounds.low.rows(), Number(0));
  for (Index p = 0; p < scores.size(); ++p) {
    for (Index i = 0; i < q.size(); ++i) scores(p) += std::max(q(i) * bounds.low(p, i), q(i) * bounds.high(p, i));
  }
  return scores;
}

// By definition: the query q[1, d] under the mask of its `top` pages of k[S, d], v[S, dv].
inline Matrix<double> quest_attention(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                                      Index page, Index top) {
  const Vector<double> scores = page_scores<double>(q.row(0).transpose(), page_bounds(k, page));
  return attention(q, k, v, mask_of({sorted_top_k(scores, top)}, 1, k.rows(), 1, page, true)).output;
}

// As the kernel: only the chosen pages are read.
template <class Number>
Matrix<Number> quest_attention_by_pages(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                        Index page, Index top) {
  const Vector<Number> scores = page_scores<Number>(q.row(0).transpose(), page_bounds(k, page));
  std::vector<Index> keys;
  for (const Index p : sorted_top_k(scores, top)) {
    for (Index j = p * page; j < std::min((p + 1) * page, k.rows()); ++j) keys.push_back(j);
  }
  return flash_attention<Number>(q, k(keys, Eigen::all), v(keys, Eigen::all), full_mask(1, std::ssize(keys)), {1, page})
      .output;
}

}  // namespace lightcone::models::reference
