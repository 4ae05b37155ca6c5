// SPDX-License-Identifier: Apache-2.0
#include "models/reference/gated_convolutions.h"

namespace lightcone::models::reference {

Matrix<double> h3(const H3Inputs& in, ConvolveColumns convolve) {
  Matrix<double> kernels(in.v.rows(), in.v.cols());
  for (Eigen::Index d = 0; d < kernels.cols(); ++d) {
    kernels.col(d) = s4d_kernel(in.diagonal[std::size_t(d)], kernels.rows());
  }
  return in.q.cwiseProduct(convolve(causal_conv1d(in.shift, in.k).cwiseProduct(in.v), kernels));
}

Matrix<double> h3_recurrent(const H3Inputs& in) {
  Matrix<double> last = Matrix<double>::Zero(in.shift.weight.cols() - 1, in.k.cols()),
                 product(in.v.rows(), in.v.cols());
  for (Eigen::Index t = 0; t < product.rows(); ++t) {
    product.row(t) = causal_conv1d_step(in.shift, last, Matrix<double>(in.k.row(t))).cwiseProduct(in.v.row(t));
  }
  Matrix<double> y(product.rows(), product.cols());
  for (Eigen::Index d = 0; d < y.cols(); ++d) y.col(d) = s4d_recurrence(in.diagonal[std::size_t(d)], product.col(d));
  return in.q.cwiseProduct(y);
}

Matrix<double> hyena(const HyenaInputs& in, const Matrix<double>& filters, ConvolveColumns convolve) {
  return in.x0.cwiseProduct(convolve(in.x1.cwiseProduct(in.v), filters));
}

Matrix<double> hyena_filters(const HyenaFilterWeights& weights, Eigen::Index length) {
  const Eigen::Index bands = (weights.first.rows() - 1) / 2;
  Matrix<double> positions(length, 1 + 2 * bands), window(length, weights.decay.size());
  for (Eigen::Index t = 0; t < length; ++t) {
    const double at = double(t) / double(length);
    positions(t, 0) = at;
    for (Eigen::Index b = 0; b < bands; ++b) {
      positions(t, 1 + b) = std::cos(2 * 3.141592653589793 * double(b + 1) * at);
      positions(t, 1 + bands + b) = -std::sin(2 * 3.141592653589793 * double(b + 1) * at);
    }
    window.row(t) = (-at * weights.decay.array()).exp();
  }
  const Matrix<double> hidden = (weights.frequency * positions * weights.first).array().sin();
  return (hidden * weights.second).cwiseProduct(window);
}

}  // namespace lightcone::models::reference
