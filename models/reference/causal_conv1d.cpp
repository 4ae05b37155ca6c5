// SPDX-License-Identifier: Apache-2.0
#include "models/reference/causal_conv1d.h"

namespace lightcone::models::reference {

ShortFilterGradients causal_conv1d_backward(const ShortFilter<double>& filter, const Matrix<double>& x,
                                            const Matrix<double>& initial, const Matrix<double>& y_gradient) {
  const Eigen::Index halo = filter.weight.cols() - 1, tokens = x.rows();
  Matrix<double> padded(halo + tokens, x.cols());
  padded << initial, x;
  Matrix<double> d_padded = Matrix<double>::Zero(padded.rows(), padded.cols());
  ShortFilterGradients gradients{{filter.weight, y_gradient.colwise().sum().transpose()}, {}, {}};
  for (Eigen::Index j = 0; j <= halo; ++j) {
    gradients.filter.weight.col(j) = padded.middleRows(j, tokens).cwiseProduct(y_gradient).colwise().sum().transpose();
    d_padded.middleRows(j, tokens) += y_gradient * filter.weight.col(j).asDiagonal();
  }
  gradients.x = d_padded.bottomRows(tokens);
  gradients.initial = d_padded.topRows(halo);
  return gradients;
}

}  // namespace lightcone::models::reference
