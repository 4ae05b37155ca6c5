// SPDX-License-Identifier: Apache-2.0
// Native Sparse Attention (Yuan et al. 2025): the query heads of one kv head attend to compressed blocks, to a few
// selected blocks of tokens, and to a sliding window; learned gates weigh the three outputs. The compressed
// probabilities, summed over the heads, select the blocks. Here the compression is a learned weighting of a block's
// tokens (mean pooling: equal weights); not modelled: the paper's MLP and intra-block positions.
#pragma once

#include "models/reference/flash_attention.h"
#include "models/reference/top_k.h"

namespace lightcone::models::reference {

struct NsaShape {
  Index compress_block = 32, stride = 16;  // of compression; the stride divides both kinds of block
  Index select_block = 64, selected = 16;  // blocks per query, the forced ones included
  Index window = 512;
  [[nodiscard]] Index compressed(Index tokens) const {
    return tokens < compress_block ? 0 : (tokens - compress_block) / stride + 1;
  }
  // Compressed block c is visible once its last token is in the past or present.
  [[nodiscard]] Index visible_compressed(Index t) const { return compressed(t + 1); }
  // Strides that compressed block c and selection block j share (paper eq. 9: the sum over m and n).
  [[nodiscard]] Index overlap(Index c, Index j) const {
    const Index per_select = select_block / stride;
    return std::max<Index>(0,
                           std::min(c + compress_block / stride, (j + 1) * per_select) - std::max(c, j * per_select));
  }
};

template <class Number>
struct NsaInputs {
  Matrix<Number> q;                // [T, heads d], the heads of one kv head
  Matrix<Number> k, v;             // [T, d], [T, dv]
  Matrix<Number> gates;            // [T, heads 3]: compressed, selected, window
  Vector<Number> compress_weight;  // [compress_block]
  Index heads = 1;
};

template <class Number>
struct NsaResult {
  Matrix<Number> output;  // [T, heads dv]
  BlockList selected;     // of each query, ascending
};

// Row c: weighted sum of the tokens of compressed block c.
template <class Number>
Matrix<Number> nsa_compress(const Matrix<Number>& x, const Vector<Number>& weight, const NsaShape& shape) {
  Matrix<Number> blocks(shape.compressed(x.rows()), x.cols());
  for (Index c = 0; c < blocks.rows(); ++c) {
    blocks.row(c) = weight.transpose() * x.middleRows(c * shape.stride, shape.compress_block);
  }
  return blocks;
}

// Blocks of query t: the first, the current and the one before it always, then those of largest importance.
template <class Number>
std::vector<Index> nsa_select(const Vector<Number>& importance, Index t, const NsaShape& shape) {
  const Index current = t / shape.select_block;
  Vector<Number> ranked = importance.head(current + 1);
  for (const Index forced : {Index(0), current, std::max<Index>(0, current - 1)}) {
    ranked(forced) = std::numeric_limits<Number>::infinity();
  }
  return sorted_top_k(ranked, shape.selected);
}

// The three branches as dense attention under masks.
inline NsaResult<double> nsa_attention(const NsaInputs<double>& in, const NsaShape& shape) {
  const Index tokens = in.k.rows(), d = in.k.cols(), dv = in.v.cols();
  const Matrix<double> ck = nsa_compress(in.k, in.compress_weight, shape);
  const Matrix<double> cv = nsa_compress(in.v, in.compress_weight, shape);
  const Mask compressed = Mask::NullaryExpr(
      tokens, ck.rows(), [&](Index t, Index c) { return c * shape.stride + shape.compress_block - 1 <= t; });
  Matrix<double> p = Matrix<double>::Zero(tokens, ck.rows());  // summed over the heads
  for (Index n = 0; n < in.heads; ++n) {
    const Matrix<double> scores = attention_scores<double>(in.q.middleCols(n * d, d), ck, compressed);
    const Vector<double> lse = attend(scores, cv).lse;
    for (Index t = 0; t < tokens; ++t) {
      for (Index c = 0; c < ck.rows(); ++c) p(t, c) += compressed(t, c) ? std::exp(scores(t, c) - lse(t)) : 0;
    }
  }
  NsaResult<double> result{Matrix<double>::Zero(tokens, in.heads * dv), {}};
  const Index blocks = (tokens + shape.select_block - 1) / shape.select_block;
  const Matrix<double> overlap = Matrix<double>::NullaryExpr(
      ck.rows(), blocks, [&](Index c, Index j) { return static_cast<double>(shape.overlap(c, j)); });
  for (Index t = 0; t < tokens; ++t) {
    result.selected.push_back(nsa_select<double>((p.row(t) * overlap).transpose(), t, shape));
  }
  const Mask selected = mask_of(result.selected, tokens, tokens, 1, shape.select_block, true);
  const Mask window = window_mask(tokens, tokens, shape.window);
  for (Index n = 0; n < in.heads; ++n) {
    const Matrix<double> q = in.q.middleCols(n * d, d);
    const Matrix<double> gates = in.gates.middleCols(n * 3, 3);
    result.output.middleCols(n * dv, dv) = gates.col(0).asDiagonal() * attention(q, ck, cv, compressed).output +
                                           gates.col(1).asDiagonal() * attention(q, in.k, in.v, selected).output +
                                           gates.col(2).asDiagonal() * attention(q, in.k, in.v, window).output;
  }
  return result;
}

// As the kernels: per query one tile with a row per head; compressed keys, then gathered blocks, then the slice of the
// window, each with a running softmax.
template <class Number>
NsaResult<Number> nsa_attention_by_gather(const NsaInputs<Number>& in, const NsaShape& shape) {
  using std::exp;
  const Index tokens = in.k.rows(), d = in.k.cols(), dv = in.v.cols();
  const Matrix<Number> ck = nsa_compress(in.k, in.compress_weight, shape);
  const Matrix<Number> cv = nsa_compress(in.v, in.compress_weight, shape);
  const FlashTiles tiles{in.heads, shape.select_block};
  NsaResult<Number> result{Matrix<Number>(tokens, in.heads * dv), {}};
  for (Index t = 0; t < tokens; ++t) {
    const Matrix<Number> q = in.q.row(t).template reshaped<Eigen::RowMajor>(in.heads, d);
    const auto branch = [&](const Matrix<Number>& k, const Matrix<Number>& v) {
      return flash_attention(q, k, v, full_mask(q.rows(), k.rows()), tiles);
    };
    const Index seen = shape.visible_compressed(t);
    const Matrix<Number> seen_k = ck.topRows(seen);
    const Attended<Number> compressed = branch(seen_k, cv.topRows(seen));
    Vector<Number> importance = Vector<Number>::Zero(t / shape.select_block + 1);
    const Number scale = static_cast<Number>(scale_of({}, d));
    for (Index n = 0; n < in.heads; ++n) {
      for (Index c = 0; c < seen; ++c) {
        const Number p = exp(dot(q.row(n), seen_k.row(c)) * scale - compressed.lse(n));
        for (Index unit = c; unit < c + shape.compress_block / shape.stride; ++unit) {
          importance(unit * shape.stride / shape.select_block) += p;
        }
      }
    }
    std::vector<Index> keys;
    for (const Index block : result.selected.emplace_back(nsa_select(importance, t, shape))) {
      for (Index j = block * shape.select_block; j < std::min((block + 1) * shape.select_block, t + 1); ++j) {
        keys.push_back(j);
      }
    }
    const Attended<Number> selected = branch(in.k(keys, Eigen::all), in.v(keys, Eigen::all));
    const Index near = std::min(shape.window, t + 1);
    const Attended<Number> window = branch(in.k.middleRows(t + 1 - near, near), in.v.middleRows(t + 1 - near, near));
    const Matrix<Number> gates = in.gates.row(t).template reshaped<Eigen::RowMajor>(in.heads, 3);
    const Matrix<Number> sum = gates.col(0).asDiagonal() * compressed.output +
                               gates.col(1).asDiagonal() * selected.output + gates.col(2).asDiagonal() * window.output;
    result.output.row(t) = sum.template reshaped<Eigen::RowMajor>(1, in.heads * dv);
  }
  return result;
}

}  // namespace lightcone::models::reference
