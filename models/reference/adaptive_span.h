// SPDX-License-Identifier: Apache-2.0
// Adaptive attention span (Sukhbaatar et al. 2019): each head learns how far back it looks. Weights
// a_ij = m(i-j) e^{s_ij} / sum_j m(i-j) e^{s_ij}, m(x) = clamp((R + z - x) / R, 0, 1), causal. Not modelled: the
// relative position term, the penalty on z, the 1e-8 that the published code adds to the denominator.
#pragma once

#include "models/reference/attention.h"

namespace lightcone::models::reference {

struct AdaptiveSpan {
  double span = 0;   // z, learned
  double ramp = 32;  // R
  [[nodiscard]] double weight(Index distance) const {
    return std::clamp((ramp + span - static_cast<double>(distance)) / ramp, 0.0, 1.0);
  }
  // Keys that can have weight, rounded up to multiples of 64 as the published code trims its cache.
  [[nodiscard]] Index trimmed() const { return (static_cast<Index>(std::ceil(ramp + span)) + 63) / 64 * 64; }
};

// By definition, over all earlier keys: q[T, d], k[T, d], v[T, dv].
inline Matrix<double> adaptive_span_attention(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                                              const AdaptiveSpan& head) {
  Matrix<double> weights = attention_scores(q, k, causal_mask(q.rows(), k.rows()));
  for (Index i = 0; i < q.rows(); ++i) {
    weights.row(i) = (weights.row(i).array() - weights.row(i).maxCoeff()).exp();
    for (Index j = 0; j <= i; ++j) weights(i, j) *= head.weight(i - j);
    weights.row(i) /= weights.row(i).sum();
  }
  return weights * v;
}

// As the published code: only the last `trimmed` keys of each query, in relative layout [T, trimmed]; softmax, times m,
// renormalised.
template <class Number>
Matrix<Number> adaptive_span_by_trimming(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v,
                                         const AdaptiveSpan& head) {
  using std::exp;
  const Number scale = static_cast<Number>(scale_of({}, q.cols()));
  Matrix<Number> output = Matrix<Number>::Constant(q.rows(), v.cols(), Number(0));
  for (Index i = 0; i < q.rows(); ++i) {
    const Index keys = std::min(head.trimmed(), i + 1);
    Vector<Number> p(keys);
    for (Index x = 0; x < keys; ++x) p(x) = dot(q.row(i), k.row(i - x)) * scale;
    const Number largest = p.maxCoeff();
    for (Index x = 0; x < keys; ++x) p(x) = exp(p(x) - largest);
    p /= p.sum();
    for (Index x = 0; x < keys; ++x) p(x) *= static_cast<Number>(head.weight(x));
    p /= p.sum();
    for (Index x = 0; x < keys; ++x) output.row(i) += p(x) * v.row(i - x);
  }
  return output;
}

// d sum(d_output * output) / dz: dL/dm_ij = e_ij / Z_i (dO_i . (v_j - o_i)), and dm/dz = 1/R on the ramp.
inline double adaptive_span_gradient(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                                     const AdaptiveSpan& head, const Matrix<double>& d_output) {
  const Matrix<double> scores = attention_scores(q, k, causal_mask(q.rows(), k.rows()));
  const Matrix<double> output = adaptive_span_attention(q, k, v, head);
  double gradient = 0;
  for (Index i = 0; i < q.rows(); ++i) {
    const double largest = scores.row(i).maxCoeff();
    double sum = 0, row = 0;
    for (Index j = 0; j <= i; ++j) {
      const double e = std::exp(scores(i, j) - largest), m = head.weight(i - j);
      sum += m * e;
      if (m > 0 && m < 1) row += e * d_output.row(i).dot(v.row(j) - output.row(i)) / head.ramp;
    }
    gradient += row / sum;
  }
  return gradient;
}

}  // namespace lightcone::models::reference
