// SPDX-License-Identifier: Apache-2.0
// Feature maps that make softmax attention linear: queries and keys are mapped row by row, and the exponential of their
// product becomes a product of features. Rows are tokens, columns features.
#pragma once

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

// elu(x) + 1, T x d to T x d (Katharopoulos et al. 2020, arXiv 2006.16236, eq. 7).
template <class Number>
Matrix<Number> elu_plus_one(const Matrix<Number>& x) {
  using std::exp;
  return x.unaryExpr([](const Number& v) { return v > Number(0) ? v + Number(1) : exp(v); });
}

// Second-order Taylor features, T x d to T x (1 + d + d^2): the product of two is 1 + s + s^2/2 with s = q.k / sqrt(d)
// (Based: Arora et al. 2024, arXiv 2402.18668, eq. 2).
template <class Number>
Matrix<Number> taylor_features(const Matrix<Number>& x) {
  const Eigen::Index d = x.cols();
  const double root = std::sqrt(std::sqrt(double(d))), square = std::sqrt(2.0 * double(d));
  Matrix<Number> features(x.rows(), 1 + d + d * d);
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    features(t, 0) = Number(1);
    for (Eigen::Index i = 0; i < d; ++i) {
      features(t, 1 + i) = x(t, i) / Number(root);
      for (Eigen::Index j = 0; j < d; ++j) features(t, 1 + d + i * d + j) = x(t, i) * x(t, j) / Number(square);
    }
  }
  return features;
}

// Positive random features exp(w.x - |x|^2 / 2) / sqrt(m), T x d to T x m, of which the product of two is an unbiased
// estimate of exp(q.k) (FAVOR+: Choromanski et al. 2021, arXiv 2009.14794, lemma 1). Scale q and k by d^(-1/4) before.
// projections: m x d, rows w ~ N(0, I).
Matrix<double> favor_features(const Matrix<double>& x, const Matrix<double>& projections);

// m x d rows of N(0, I) that are orthogonal within each block of d rows: the Q of a Gaussian block, rows rescaled to
// the lengths of Gaussian vectors (same paper, section 3.2).
Matrix<double> orthogonal_projections(SeededValues& values, Eigen::Index m, Eigen::Index d);

}  // namespace lightcone::models::reference
