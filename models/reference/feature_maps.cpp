// SPDX-License-Identifier: Apache-2.0
#include "models/reference/feature_maps.h"

#include <algorithm>

namespace lightcone::models::reference {

Matrix<double> favor_features(const Matrix<double>& x, const Matrix<double>& projections) {
  const Matrix<double> exponents = (x * projections.transpose()).colwise() - (0.5 * x.rowwise().squaredNorm()).eval();
  return exponents.array().exp() / std::sqrt(double(projections.rows()));
}

Matrix<double> orthogonal_projections(SeededValues& values, Eigen::Index m, Eigen::Index d) {
  Matrix<double> rows(m, d);
  for (Eigen::Index first = 0; first < m; first += d) {
    const Eigen::HouseholderQR<Matrix<double>> qr(values.matrix(d, d));
    // The signs of R's diagonal make Q uniform over the orthogonal group.
    const Vector<double> signs = qr.matrixQR().diagonal().array().sign();
    const Matrix<double> q = Matrix<double>(qr.householderQ()) * signs.asDiagonal();
    const Eigen::Index count = std::min(d, m - first);
    const Vector<double> lengths = values.matrix(count, d).rowwise().norm();
    rows.middleRows(first, count) = lengths.asDiagonal() * q.topRows(count);
  }
  return rows;
}

}  // namespace lightcone::models::reference
