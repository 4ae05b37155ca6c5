// SPDX-License-Identifier: Apache-2.0
// Attention over a quantised KV cache (int8 or fp8, one scale per token and head; MLA's latents with a scale per 128
// values, FlashMLA): the scales of K multiply the scores and those of V the probabilities, so that the codes feed the
// products as they are. One head.
#pragma once

#include "models/reference/attention.h"
#include "models/reference/quantised.h"

namespace lightcone::models::reference {

inline constexpr Scheme kKvInt8{Element::int8, {1, 0}};
inline constexpr Scheme kKvFp8{Element::e4m3, {1, 0}};

// q[queries, d], k[keys, d], v[keys, dv], mask[queries, keys].
inline Attended<float> quantised_kv_attention(const Matrix<float>& q, const Quantised& k, const Quantised& v,
                                              const Mask& mask) {
  Matrix<float> scores = attention_scores(q, k.codes, mask);
  Attended<float> result{Matrix<float>::Zero(q.rows(), v.codes.cols()), Vector<float>(q.rows())};
  const float empty = static_cast<float>(kMinusInfinity);
  for (Index i = 0; i < q.rows(); ++i) {
    for (Index j = 0; j < scores.cols(); ++j) {
      if (mask(i, j)) scores(i, j) *= k.scale(j, 0);
    }
    const float largest = scores.row(i).maxCoeff();
    float sum = 0;
    for (Index j = 0; j < scores.cols(); ++j) {
      if (scores(i, j) == empty) continue;
      const float weight = std::exp(scores(i, j) - largest);
      sum += weight;
      result.output.row(i) += weight * v.scale(j, 0) * v.codes.row(j);
    }
    if (sum > 0) result.output.row(i) /= sum;
    result.lse(i) = sum > 0 ? largest + std::log(sum) : empty;
  }
  return result;
}

}  // namespace lightcone::models::reference
