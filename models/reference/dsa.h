// SPDX-License-Identifier: Apache-2.0
// DeepSeek Sparse Attention (DeepSeek-V3.2-Exp, inference/model.py): the lightning indexer scores every earlier token,
// I_ts = sum_j w_tj ReLU(q_tj . k_s); the query attends to the top-k tokens only, with keys and values shared by all
// heads (MLA in MQA mode). Not modelled here: the LayerNorm and RoPE of the indexer's keys.
#pragma once

#include "models/reference/flash_attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::reference {

// Scores [T, S] of q_index[T, heads d], k_index[S, d], weights[T, heads]; -infinity for later tokens.
template <class Number>
Matrix<Number> lightning_index_scores(const Matrix<Number>& q_index, const Matrix<Number>& k_index,
                                      const Matrix<Number>& weights) {
  const Index d = k_index.cols();
  const Mask causal = causal_mask(q_index.rows(), k_index.rows());
  Matrix<Number> scores = Matrix<Number>::Constant(q_index.rows(), k_index.rows(), static_cast<Number>(kMinusInfinity));
  for (Index t = 0; t < scores.rows(); ++t) {
    for (Index s = 0; s < scores.cols(); ++s) {
      if (!causal(t, s)) continue;
      scores(t, s) = Number(0);
      for (Index j = 0; j < weights.cols(); ++j) {
        const Number product = dot(q_index.row(t).segment(j * d, d), k_index.row(s));
        scores(t, s) += weights(t, j) * std::max(product, Number(0));
      }
    }
  }
  return scores;
}

// Tokens of each query, ascending, padded with -1 to `top`, as the sparse kernel takes them.
template <class Number>
BlockList dsa_select(const Matrix<Number>& index_scores, Index top) {
  BlockList selected;
  for (Index t = 0; t < index_scores.rows(); ++t) {
    selected.push_back(sorted_top_k(index_scores.row(t), top));
    selected.back().resize(static_cast<std::size_t>(top), -1);
  }
  return selected;
}

// By definition: each head under the mask of the selected tokens. q[T, heads d], k[S, d], v[S, dv].
inline Matrix<double> dsa_attention(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                                    Index heads, const BlockList& selected) {
  Mask mask = Mask::Constant(q.rows(), k.rows(), false);
  for (Index t = 0; t < q.rows(); ++t) {
    for (const Index s : selected[static_cast<std::size_t>(t)]) {
      if (s >= 0) mask(t, s) = true;
    }
  }
  return per_head(q, k, v, heads, 1,
                  [&](const auto& a, const auto& b, const auto& c) { return attention(a, b, c, mask); });
}

// As the kernel: per query the selected rows are gathered (padding rows masked), and all heads are rows of one tile.
template <class Number>
Matrix<Number> dsa_attention_by_gather(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                       Index heads, const BlockList& selected, FlashTiles tiles) {
  const Index d = k.cols();
  Matrix<Number> output(q.rows(), heads * v.cols());
  for (Index t = 0; t < q.rows(); ++t) {
    std::vector<Index> rows = selected[static_cast<std::size_t>(t)];
    Mask mask(heads, std::ssize(rows));
    for (Index n = 0; n < mask.cols(); ++n) {
      Index& row = rows[static_cast<std::size_t>(n)];
      mask.col(n).setConstant(row >= 0);
      row = std::max<Index>(row, 0);
    }
    const Matrix<Number> one = q.row(t).template reshaped<Eigen::RowMajor>(heads, d);
    const Attended<Number> attended =
        flash_attention<Number>(one, k(rows, Eigen::all), v(rows, Eigen::all), mask, tiles);
    output.row(t) = attended.output.template reshaped<Eigen::RowMajor>(1, heads * v.cols());
  }
  return output;
}

// Rows times the Hadamard matrix over sqrt(n), n a power of two, by n log2(n) additions (fast Walsh-Hadamard
// transform): the rotation that spreads outliers before the indexer's fp8.
template <class Number>
Matrix<Number> hadamard_rotated(Matrix<Number> x) {
  const Index n = x.cols();
  for (Index half = 1; half < n; half *= 2) {
    for (Index first = 0; first < n; first += 2 * half) {
      for (Index c = first; c < first + half; ++c) {
        const Vector<Number> a = x.col(c), b = x.col(c + half);
        x.col(c) = a + b;
        x.col(c + half) = a - b;
      }
    }
  }
  return x * static_cast<Number>(1 / std::sqrt(static_cast<double>(n)));
}

}  // namespace lightcone::models::reference
