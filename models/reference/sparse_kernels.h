// SPDX-License-Identifier: Apache-2.0
// How kernels compute the fixed sparse patterns of mask.h without masked products: transposition for the strided head
// of the Sparse Transformer, overlapping chunks for Longformer, gathered blocks for BigBird. Each equals attention()
// under the mask of the same name. Not modelled: Longformer's own projections for global queries.
#pragma once

#include "models/reference/flash_attention.h"

namespace lightcone::models::reference {

// Sparse Transformer (openai/sparse_attention): q, k, v viewed as [T / stride, stride], so that tokens of one residue
// modulo `stride` lie together and each residue is a short dense causal attention. q[T, d], k[T, d], v[T, dv].
template <class Number>
Matrix<Number> strided_attention_by_transposition(const Matrix<Number>& q, const Matrix<Number>& k,
                                                  const Matrix<Number>& v, Index stride, FlashTiles tiles) {
  Matrix<Number> output(q.rows(), v.cols());
  for (Index residue = 0; residue < std::min(stride, q.rows()); ++residue) {
    const auto column = Eigen::seq(residue, q.rows() - 1, stride);
    const Matrix<Number> qr = q(column, Eigen::all), kr = k(column, Eigen::all), vr = v(column, Eigen::all);
    output(column, Eigen::all) = flash_attention(qr, kr, vr, causal_mask(qr.rows(), kr.rows()), tiles).output;
  }
  return output;
}

// Longformer's sliding chunks (allenai/longformer): chunks of 2w tokens every w tokens, each multiplied with itself,
// give the band |i - j| <= w in diagonal layout [T, 2w + 1] (column j - i + w; -infinity outside the sequence). That is
// twice the products of the band.
template <class Number>
Matrix<Number> sliding_chunk_scores(const Matrix<Number>& q, const Matrix<Number>& k, Index w) {
  const Number scale = static_cast<Number>(scale_of({}, q.cols()));
  const Index tokens = q.rows();
  Matrix<Number> band = Matrix<Number>::Constant(tokens, 2 * w + 1, static_cast<Number>(kMinusInfinity));
  for (Index first = 0; first == 0 || first + w < tokens; first += w) {
    const Index size = std::min(2 * w, tokens - first);
    for (Index i = first; i < first + size; ++i) {
      for (Index j = first; j < first + size; ++j) {
        const Number score = dot(q.row(i), k.row(j)) * scale;
        if (std::abs(i - j) <= w) band(i, j - i + w) = score;  // twice the same for a pair of two chunks
      }
    }
  }
  return band;
}

// Longformer with the chunks above and dense rows and columns for the global tokens; dilation 1.
template <class Number>
Matrix<Number> longformer_by_chunks(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v, Index w,
                                    const std::vector<Index>& global) {
  const Number scale = static_cast<Number>(scale_of({}, q.cols()));
  const Matrix<Number> band = sliding_chunk_scores(q, k, w);
  Matrix<Number> output(q.rows(), v.cols());
  for (Index i = 0; i < q.rows(); ++i) {
    std::vector<Index> keys = global;
    for (Index j = std::max<Index>(0, i - w); j <= std::min(q.rows() - 1, i + w); ++j) {
      if (std::find(global.begin(), global.end(), j) == global.end()) keys.push_back(j);
    }
    Matrix<Number> scores(1, std::ssize(keys));
    for (Index n = 0; n < scores.cols(); ++n) {
      const Index j = keys[static_cast<std::size_t>(n)];
      const bool is_global = n < std::ssize(global);
      scores(0, n) = is_global ? dot(q.row(i), k.row(j)) * scale : band(i, j - i + w);
    }
    output.row(i) = attend<Number>(scores, v(keys, Eigen::all)).output;
  }
  const Matrix<Number> global_q = q(global, Eigen::all);
  output(global, Eigen::all) = attention(global_q, k, v, full_mask(global_q.rows(), k.rows())).output;
  return output;
}

// BigBird (google-research/bigbird): the keys and values of each query block's list are gathered, then dense.
template <class Number>
Matrix<Number> block_attention_by_gather(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                         const BlockList& blocks, Index block) {
  Matrix<Number> output(q.rows(), v.cols());
  for (Index first = 0; first < q.rows(); first += block) {
    std::vector<Index> keys;
    for (const Index b : blocks.at(static_cast<std::size_t>(first / block))) {
      for (Index j = b * block; j < std::min((b + 1) * block, k.rows()); ++j) keys.push_back(j);
    }
    const Matrix<Number> rows = q.middleRows(first, std::min(block, q.rows() - first));
    output.middleRows(first, rows.rows()) =
        attention<Number>(rows, k(keys, Eigen::all), v(keys, Eigen::all), full_mask(rows.rows(), std::ssize(keys)))
            .output;
  }
  return output;
}

}  // namespace lightcone::models::reference
