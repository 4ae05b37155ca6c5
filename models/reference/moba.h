// SPDX-License-Identifier: Apache-2.0
// Mixture of Block Attention (MoonshotAI 2025): keys in blocks, each represented by its mean; a query attends to its
// own block (causally) and to the earlier blocks with the largest q . mean, k blocks in all. One head.
#pragma once

#include "models/reference/flash_attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::reference {

// Blocks of each query, ascending: q[T, d], k[T, d].
template <class Number>
BlockList moba_select(const Matrix<Number>& q, const Matrix<Number>& k, Index block, Index top) {
  const Index blocks = (k.rows() + block - 1) / block;
  Matrix<Number> means(blocks, k.cols());
  for (Index b = 0; b < blocks; ++b) {
    means.row(b) = k.middleRows(b * block, std::min(block, k.rows() - b * block)).colwise().mean();
  }
  BlockList selected;
  for (Index t = 0; t < q.rows(); ++t) {
    Vector<Number> gate(t / block + 1);
    for (Index b = 0; b < t / block; ++b) gate(b) = dot(q.row(t), means.row(b));
    gate(t / block) = std::numeric_limits<Number>::infinity();
    selected.push_back(sorted_top_k(gate, top));
  }
  return selected;
}

// By definition: attention under the mask of the selected blocks.
inline Matrix<double> moba_attention(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                                     Index block, Index top) {
  const BlockList selected = moba_select(q, k, block, top);
  return attention(q, k, v, mask_of(selected, q.rows(), k.rows(), 1, block, true)).output;
}

// As the published kernels: each block attends causally to itself; for each block the later queries that chose it are
// gathered and attend to it densely; partial results merge by their log-sum-exp.
template <class Number>
Matrix<Number> moba_attention_by_blocks(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                        Index block, Index top, FlashTiles tiles) {
  const BlockList selected = moba_select(q, k, block, top);
  std::vector<std::vector<Attended<Number>>> parts(static_cast<std::size_t>(q.rows()));
  for (Index first = 0; first < k.rows(); first += block) {
    const Index size = std::min(block, k.rows() - first);
    const Matrix<Number> kb = k.middleRows(first, size), vb = v.middleRows(first, size);
    std::vector<Index> own, later;
    for (Index t = first; t < q.rows(); ++t) {
      const std::vector<Index>& chosen = selected[static_cast<std::size_t>(t)];
      if (t < first + size) {
        own.push_back(t);
      } else if (std::binary_search(chosen.begin(), chosen.end(), first / block)) {
        later.push_back(t);
      }
    }
    const auto attend_to_block = [&](const std::vector<Index>& queries, const Mask& mask) {
      const Matrix<Number> gathered = q(queries, Eigen::all);
      const Attended<Number> part = flash_attention(gathered, kb, vb, mask, tiles);
      for (Index n = 0; n < std::ssize(queries); ++n) {
        parts[static_cast<std::size_t>(queries[static_cast<std::size_t>(n)])].push_back(
            {part.output.row(n), part.lse.segment(n, 1)});
      }
    };
    attend_to_block(own, causal_mask(size, size));
    attend_to_block(later, full_mask(std::ssize(later), size));
  }
  Matrix<Number> output(q.rows(), v.cols());
  for (Index t = 0; t < q.rows(); ++t) {
    output.row(t) = merge_partials<Number>(parts[static_cast<std::size_t>(t)]).output;
  }
  return output;
}

}  // namespace lightcone::models::reference
