// SPDX-License-Identifier: Apache-2.0
// Softmax attention of one head by definition (Vaswani et al. 2017): scores of all pairs, then the softmax of each row
// over its attended keys, then the weighted mean of the values. Masked pairs are not computed. Also grouped heads, soft
// cap (Gemma-2), learned sinks (gpt-oss) and the backward pass. Not modelled: dropout, attention bias.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "models/reference/mask.h"
#include "models/reference/matrix.h"

namespace lightcone::models::reference {

struct AttentionOptions {
  std::optional<double> scale = {};  // of q.k; without: 1 / sqrt(head dim)
  double soft_cap = 0;               // c > 0: s = c tanh(s / c), after the scale
  std::optional<double> sink = {};   // a logit that takes part in the denominator and has no value
};

template <class Number>
struct Attended {
  Matrix<Number> output;  // [queries, value dim]; zero for a query without keys
  Vector<Number> lse;     // ln of the softmax denominator; -infinity for a query without keys
};

inline constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// a . b with one multiplication and one addition per element.
template <class A, class B>
typename A::Scalar dot(const A& a, const B& b) {
  typename A::Scalar sum(0);
  for (Index i = 0; i < a.size(); ++i) sum += a(i) * b(i);
  return sum;
}

inline double scale_of(const AttentionOptions& options, Index head_dim) {
  return options.scale.value_or(1 / std::sqrt(static_cast<double>(head_dim)));
}

// The score of one pair from its product q.k.
template <class Number>
Number score_of(Number product, Number scale, const AttentionOptions& options) {
  using std::tanh;
  const Number scaled = product * scale;
  if (options.soft_cap <= 0) return scaled;
  const Number cap = static_cast<Number>(options.soft_cap);
  return cap * tanh(scaled / cap);
}

// Scores [queries, keys] of q[queries, d] and k[keys, d]; -infinity where the mask is false.
template <class Number>
Matrix<Number> attention_scores(const Matrix<Number>& q, const Matrix<Number>& k, const Mask& mask,
                                const AttentionOptions& options = {}) {
  const Number scale = static_cast<Number>(scale_of(options, q.cols()));
  Matrix<Number> scores = Matrix<Number>::Constant(q.rows(), k.rows(), static_cast<Number>(kMinusInfinity));
  for (Index i = 0; i < q.rows(); ++i) {
    for (Index j = 0; j < k.rows(); ++j) {
      if (mask(i, j)) scores(i, j) = score_of(dot(q.row(i), k.row(j)), scale, options);
    }
  }
  return scores;
}

// o_i = sum_j e^{s_ij} v_j / (sum_j e^{s_ij} + e^{sink}) over the finite scores[queries, keys], v[keys, dv].
template <class Number>
Attended<Number> attend(const Matrix<Number>& scores, const Matrix<Number>& v, std::optional<double> sink = {}) {
  using std::exp, std::log;
  const Number empty = static_cast<Number>(kMinusInfinity);
  Attended<Number> result{Matrix<Number>::Constant(scores.rows(), v.cols(), Number(0)),
                          Vector<Number>::Constant(scores.rows(), empty)};
  for (Index i = 0; i < scores.rows(); ++i) {
    Number largest = sink ? static_cast<Number>(*sink) : empty;
    for (Index j = 0; j < scores.cols(); ++j) largest = std::max(largest, scores(i, j));
    if (largest == empty) continue;
    Number sum = sink ? exp(static_cast<Number>(*sink) - largest) : Number(0);
    for (Index j = 0; j < scores.cols(); ++j) {
      if (scores(i, j) == empty) continue;
      const Number weight = exp(scores(i, j) - largest);
      sum += weight;
      for (Index c = 0; c < v.cols(); ++c) result.output(i, c) += weight * v(j, c);
    }
    const Number reciprocal = Number(1) / sum;
    for (Index c = 0; c < v.cols(); ++c) result.output(i, c) *= reciprocal;
    result.lse(i) = largest + log(sum);
  }
  return result;
}

// q[queries, d], k[keys, d], v[keys, dv], mask[queries, keys].
template <class Number>
Attended<Number> attention(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v, const Mask& mask,
                           const AttentionOptions& options = {}) {
  return attend(attention_scores(q, k, mask, options), v, options.sink);
}

// Grouped heads (MHA, GQA, MQA): q[queries, heads d], k[keys, kv_heads d], v[keys, kv_heads dv]; query head n uses kv
// head n / (heads / kv_heads). `one_head(q, k, v)` gives an Attended; the outputs stand side by side.
template <class Number, class OneHead>
Matrix<Number> per_head(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v, Index heads,
                        Index kv_heads, const OneHead& one_head) {
  const Index d = q.cols() / heads, dv = v.cols() / kv_heads, group = heads / kv_heads;
  Matrix<Number> output(q.rows(), heads * dv);
  for (Index n = 0; n < heads; ++n) {
    const Matrix<Number> qn = q.middleCols(n * d, d), kn = k.middleCols(n / group * d, d),
                         vn = v.middleCols(n / group * dv, dv);
    output.middleCols(n * dv, dv) = one_head(qn, kn, vn).output;
  }
  return output;
}

struct AttentionGradients {
  Matrix<double> q, k, v;
  double sink = 0;  // of the sink's logit, when there is one
};

// Gradients of sum(d_output * output) with the whole matrix of probabilities P: dV = P^T dO, dP = dO V^T,
// D_i = dO_i . O_i, dS = P (dP - D), dQ = scale dS K, dK = scale dS^T Q; the soft cap adds 1 - tanh^2 to dS, the sink
// has the gradient -sum_i P_i,sink D_i.
inline AttentionGradients attention_backward(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                                             const Mask& mask, const Matrix<double>& d_output,
                                             const AttentionOptions& options = {}) {
  const Matrix<double> scores = attention_scores(q, k, mask, options);
  const Attended<double> forward = attend(scores, v, options.sink);
  Matrix<double> p(scores.rows(), scores.cols());
  for (Index i = 0; i < p.rows(); ++i) {
    for (Index j = 0; j < p.cols(); ++j) p(i, j) = mask(i, j) ? std::exp(scores(i, j) - forward.lse(i)) : 0;
  }
  const Vector<double> d = (d_output.array() * forward.output.array()).rowwise().sum();
  const Matrix<double> dp = d_output * v.transpose();
  Matrix<double> ds = p.array() * (dp.colwise() - d).array();
  if (options.soft_cap > 0) {
    ds = (p.array() > 0).select(ds.array() * (1 - (scores.array() / options.soft_cap).square()), 0);
  }
  const double scale = scale_of(options, q.cols());
  AttentionGradients g{scale * ds * k, scale * ds.transpose() * q, p.transpose() * d_output};
  if (options.sink) g.sink = -((*options.sink - forward.lse.array()).exp() * d.array()).sum();
  return g;
}

}  // namespace lightcone::models::reference
