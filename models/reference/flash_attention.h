// SPDX-License-Identifier: Apache-2.0
// FlashAttention (Dao et al. 2022, algorithm 1; FlashAttention-2 loop order): softmax attention by tiles with a running
// maximum and sum, so that no score reaches memory; only tiles that hold an attended pair are visited, which is also
// the block-sparse kernel. Also split-KV (flash-decoding) with its merge, GQA packing, and the backward pass that
// recomputes the probabilities from the log-sum-exp. Not modelled: dropout.
#pragma once

#include <span>
#include <type_traits>

#include "models/reference/attention.h"
#include "models/reference/rounded.h"

namespace lightcone::models::reference {

struct FlashTiles {
  Index queries = 64, keys = 64;
};

// What a kernel does to the operands of its matrix products and to the output.
struct Unrounded {
  template <class Number>
  Number operator()(Number value) const {
    return value;
  }
};
// bf16 Q, K, V, P and O with fp32 scores, sums and accumulators, as FlashAttention on tensor cores.
struct ToBf16 {
  float operator()(float value) const { return round_to_bf16(value); }
};

// Running softmax of one row: e^{-maximum}-scaled sum and accumulated values.
template <class Number>
struct OnlineSoftmax {
  Number maximum = static_cast<Number>(kMinusInfinity), sum = Number(0);

  // Factor by which what was accumulated under the old maximum shrinks under max(maximum, candidate).
  Number raise_to(Number candidate) {
    using std::exp;
    if (candidate <= maximum) return Number(1);
    const Number factor = maximum == static_cast<Number>(kMinusInfinity) ? Number(0) : exp(maximum - candidate);
    maximum = candidate;
    sum *= factor;
    return factor;
  }
};

// The same result as attention(): q[queries, d], k[keys, d], v[keys, dv], visiting blocks[i] for query tile i; the mask
// holds inside the visited tiles. Whole tiles are computed, as on the tensor core.
template <class Number, class Rounding = Unrounded>
Attended<Number> flash_attention(const Matrix<Number>& q_exact, const Matrix<Number>& k_exact,
                                 const Matrix<Number>& v_exact, const Mask& mask, const BlockList& blocks,
                                 FlashTiles tiles, const AttentionOptions& options = {}, const Rounding& round = {}) {
  using std::exp, std::log;
  const auto rounded = [&](const Matrix<Number>& m) -> Matrix<Number> { return m.unaryExpr(round); };
  const Matrix<Number> q = rounded(q_exact), k = rounded(k_exact), v = rounded(v_exact);
  const Number scale = static_cast<Number>(scale_of(options, q.cols()));
  const Number empty = static_cast<Number>(kMinusInfinity);
  Attended<Number> result{Matrix<Number>::Constant(q.rows(), v.cols(), Number(0)),
                          Vector<Number>::Constant(q.rows(), empty)};
  for (Index i0 = 0; i0 < q.rows(); i0 += tiles.queries) {
    const Index rows = std::min(tiles.queries, q.rows() - i0);
    std::vector<OnlineSoftmax<Number>> state(static_cast<std::size_t>(rows));
    for (const Index block : blocks.at(static_cast<std::size_t>(i0 / tiles.queries))) {
      const Index j0 = block * tiles.keys, columns = std::min(tiles.keys, k.rows() - j0);
      Matrix<Number> p(rows, columns);
      for (Index i = 0; i < rows; ++i) {
        OnlineSoftmax<Number>& row = state[static_cast<std::size_t>(i)];
        Number largest = empty;
        for (Index j = 0; j < columns; ++j) {
          p(i, j) = score_of(dot(q.row(i0 + i), k.row(j0 + j)), scale, options);
          if (!mask(i0 + i, j0 + j)) p(i, j) = empty;
          largest = std::max(largest, p(i, j));
        }
        const Number shrink = row.raise_to(largest);
        for (Index c = 0; c < v.cols(); ++c) result.output(i0 + i, c) *= shrink;
        for (Index j = 0; j < columns; ++j) {
          p(i, j) = p(i, j) == empty ? Number(0) : exp(p(i, j) - row.maximum);
          row.sum += p(i, j);
          p(i, j) = round(p(i, j));
        }
        for (Index j = 0; j < columns; ++j) {
          for (Index c = 0; c < v.cols(); ++c) result.output(i0 + i, c) += p(i, j) * v(j0 + j, c);
        }
      }
    }
    for (Index i = 0; i < rows; ++i) {
      OnlineSoftmax<Number>& row = state[static_cast<std::size_t>(i)];
      if (options.sink) {
        const Number sink = static_cast<Number>(*options.sink), shrink = row.raise_to(sink);
        for (Index c = 0; c < v.cols(); ++c) result.output(i0 + i, c) *= shrink;
        row.sum += exp(sink - row.maximum);
      }
      if (row.maximum == empty) continue;
      const Number reciprocal = Number(1) / row.sum;
      for (Index c = 0; c < v.cols(); ++c) result.output(i0 + i, c) = round(result.output(i0 + i, c) * reciprocal);
      result.lse(i0 + i) = row.maximum + log(row.sum);
    }
  }
  return result;
}

template <class Number, class Rounding = Unrounded>
Attended<Number> flash_attention(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                 const Mask& mask, FlashTiles tiles, const AttentionOptions& options = {},
                                 const Rounding& round = {}) {
  return flash_attention(q, k, v, mask, blocks_of(mask, tiles.queries, tiles.keys), tiles, options, round);
}

// Attention over the union of disjoint key sets from the results over each: LSE = ln sum e^{LSE_p},
// o = sum e^{LSE_p - LSE} o_p.
template <class Number>
Attended<Number> merge_partials(std::span<const Attended<Number>> parts) {
  using std::exp, std::log;
  const Number empty = static_cast<Number>(kMinusInfinity);
  const Index rows = parts[0].output.rows(), columns = parts[0].output.cols();
  Attended<Number> merged{Matrix<Number>::Constant(rows, columns, Number(0)), Vector<Number>::Constant(rows, empty)};
  for (Index i = 0; i < rows; ++i) {
    OnlineSoftmax<Number> row;
    for (const Attended<Number>& part : parts) {
      if (part.lse(i) == empty) continue;
      const Number shrink = row.raise_to(part.lse(i)), weight = exp(part.lse(i) - row.maximum);
      row.sum += weight;
      merged.output.row(i) = merged.output.row(i) * shrink + part.output.row(i) * weight;
    }
    if (row.maximum == empty) continue;
    merged.output.row(i) /= row.sum;
    merged.lse(i) = row.maximum + log(row.sum);
  }
  return merged;
}

// Split-KV (flash-decoding): the keys in `splits` runs of whole tiles, each attended alone, then merged. A sink belongs
// to the first split.
template <class Number>
Attended<Number> split_kv_attention(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                    const Mask& mask, Index splits, FlashTiles tiles, AttentionOptions options = {}) {
  const Index key_tiles = (k.rows() + tiles.keys - 1) / tiles.keys, per_split = (key_tiles + splits - 1) / splits;
  std::vector<Attended<Number>> parts;
  for (Index first = 0; first < k.rows(); first += per_split * tiles.keys) {
    const Index keys = std::min(per_split * tiles.keys, k.rows() - first);
    const Matrix<Number> part_k = k.middleRows(first, keys), part_v = v.middleRows(first, keys);
    parts.push_back(flash_attention(q, part_k, part_v, Mask(mask.middleCols(first, keys)), tiles, options));
    options.sink.reset();
  }
  return merge_partials<Number>(parts);
}

// GQA packing of decode kernels: the query heads of one kv head become rows of one tile, so that K and V are read once
// per group. q[queries, group d], k[keys, d], v[keys, dv] of one kv head -> outputs [queries, group dv].
template <class Number>
Matrix<Number> packed_gqa_attention(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                    const Mask& mask, Index group, FlashTiles tiles,
                                    const AttentionOptions& options = {}) {
  const Index d = q.cols() / group;
  Matrix<Number> packed(q.rows() * group, d), output(q.rows(), group * v.cols());
  Mask packed_mask(packed.rows(), mask.cols());
  for (Index i = 0; i < packed.rows(); ++i) {
    packed.row(i) = q.row(i / group).segment(i % group * d, d);
    packed_mask.row(i) = mask.row(i / group);
  }
  const Attended<Number> attended = flash_attention(packed, k, v, packed_mask, tiles, options);
  for (Index i = 0; i < packed.rows(); ++i) {
    output.row(i / group).segment(i % group * v.cols(), v.cols()) = attended.output.row(i);
  }
  return output;
}

template <class Number>
struct FlashGradients {
  Matrix<Number> q, k, v;
};

// Backward with recomputation (FlashAttention algorithm 4): tile by tile, P = e^{S - LSE} again from Q and K, then the
// four other products of attention_backward(). `forward`: what the forward pass kept.
template <class Number>
FlashGradients<Number> flash_backward(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                      const Mask& mask, const Attended<Number>& forward, const Matrix<Number>& d_output,
                                      FlashTiles tiles, const AttentionOptions& options = {}) {
  using std::exp;
  const Number scale = static_cast<Number>(scale_of(options, q.cols()));
  FlashGradients<Number> g{Matrix<Number>::Constant(q.rows(), q.cols(), Number(0)),
                           Matrix<Number>::Constant(k.rows(), k.cols(), Number(0)),
                           Matrix<Number>::Constant(v.rows(), v.cols(), Number(0))};
  Vector<Number> d(q.rows());
  for (Index i = 0; i < q.rows(); ++i) d(i) = dot(d_output.row(i), forward.output.row(i));
  const BlockList blocks = blocks_of(mask, tiles.queries, tiles.keys);
  for (Index i0 = 0; i0 < q.rows(); i0 += tiles.queries) {
    for (const Index block : blocks[static_cast<std::size_t>(i0 / tiles.queries)]) {
      const Index rows = std::min(i0 + tiles.queries, q.rows());
      const Index j0 = block * tiles.keys, columns = std::min(j0 + tiles.keys, k.rows());
      for (Index i = i0; i < rows; ++i) {
        for (Index j = j0; j < columns; ++j) {
          const Number score = score_of(dot(q.row(i), k.row(j)), scale, options);
          const Number p = mask(i, j) ? exp(score - forward.lse(i)) : Number(0);
          Number ds = p * (dot(d_output.row(i), v.row(j)) - d(i));
          if (options.soft_cap > 0) {
            const Number bent = score / static_cast<Number>(options.soft_cap);
            ds *= Number(1) - bent * bent;
          }
          ds *= scale;
          for (Index c = 0; c < v.cols(); ++c) g.v(j, c) += p * d_output(i, c);
          for (Index c = 0; c < q.cols(); ++c) g.q(i, c) += ds * k(j, c);
          for (Index c = 0; c < q.cols(); ++c) g.k(j, c) += ds * q(i, c);
        }
      }
    }
  }
  return g;
}

}  // namespace lightcone::models::reference
