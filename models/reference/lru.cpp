// SPDX-License-Identifier: Apache-2.0
#include "models/reference/lru.h"

namespace lightcone::models::reference {

namespace {

Matrix<Complex> inputs(const DiagonalSystem& system, const Matrix<double>& x) {
  return x.cast<Complex>() * system.b.transpose();
}

Matrix<double> outputs(const DiagonalSystem& system, const Matrix<Complex>& h, const Matrix<double>& x) {
  return (h * system.c.transpose()).real() + x * system.feed_through.asDiagonal();
}

}  // namespace

DiagonalSystem lru(const Vector<double>& nu, const Vector<double>& theta, const Matrix<Complex>& b,
                   const Matrix<Complex>& c, const Vector<double>& feed_through) {
  DiagonalSystem system{Vector<Complex>(nu.size()), b, c, feed_through};
  for (Eigen::Index p = 0; p < nu.size(); ++p) {
    system.lambda(p) = std::exp(Complex(-std::exp(nu(p)), std::exp(theta(p))));
    system.b.row(p) *= std::sqrt(1 - std::norm(system.lambda(p)));
  }
  return system;
}

Matrix<double> diagonal_system_serial(const DiagonalSystem& system, const Matrix<double>& x) {
  Vector<Complex> h = Vector<Complex>::Zero(system.lambda.size());
  Matrix<double> y(x.rows(), x.cols());
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    h = system.lambda.cwiseProduct(h) + system.b * x.row(t).transpose().cast<Complex>();
    y.row(t) = (system.c * h).real() + system.feed_through.cwiseProduct(x.row(t).transpose());
  }
  return y;
}

Matrix<double> diagonal_system_scan(const DiagonalSystem& system, const Matrix<double>& x, std::size_t threads,
                                    std::size_t per_thread) {
  const Matrix<Complex> a = system.lambda.transpose().replicate(x.rows(), 1);
  return outputs(system, scan_blocked(a, inputs(system, x), threads, per_thread), x);
}

Matrix<double> diagonal_system_quadratic(const DiagonalSystem& system, const Matrix<double>& x) {
  const Matrix<Complex> in = inputs(system, x);
  Matrix<Complex> h = Matrix<Complex>::Zero(in.rows(), in.cols());
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    for (Eigen::Index s = 0; s <= t; ++s) {
      const Vector<Complex> power = system.lambda.array().pow(double(t - s));
      h.row(t) += power.transpose().cwiseProduct(in.row(s));
    }
  }
  return outputs(system, h, x);
}

}  // namespace lightcone::models::reference
