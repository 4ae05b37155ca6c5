// SPDX-License-Identifier: Apache-2.0
#include "models/reference/mamba3.h"

namespace lightcone::models::reference {

namespace {

using Complex = std::complex<double>;

// Pairs of columns as complex numbers, T x N/2.
Matrix<Complex> pairs(const Matrix<double>& rows) {
  Matrix<Complex> result(rows.rows(), rows.cols() / 2);
  for (Eigen::Index t = 0; t < rows.rows(); ++t) {
    for (Eigen::Index n = 0; n < result.cols(); ++n) result(t, n) = {rows(t, 2 * n), rows(t, 2 * n + 1)};
  }
  return result;
}

}  // namespace

Matrix<double> mamba3_complex(const Mamba3Head<double>& head) {
  const Matrix<Complex> q = pairs(head.q), k = pairs(head.k), v = head.v.cast<Complex>();
  Matrix<Complex> state = Matrix<Complex>::Zero(k.cols(), v.cols());
  Matrix<double> output(v.rows(), v.cols());
  for (Eigen::Index t = 0; t < v.rows(); ++t) {
    if (t > 0) state += (1 - head.lambda(t)) * head.delta(t) * k.row(t - 1).transpose() * v.row(t - 1);
    for (Eigen::Index n = 0; n < state.rows(); ++n) {
      state.row(n) *= std::exp(Complex(head.delta(t) * head.a(t), head.angles(t, n)));
    }
    state += head.lambda(t) * head.delta(t) * k.row(t).transpose() * v.row(t);
    output.row(t) = (q.row(t).conjugate() * state).real();
  }
  return output;
}

Matrix<double> mamba3_quadratic(const Mamba3Head<double>& head) {
  const Vector<double> next = mamba3_next_weights(head);
  const Matrix<double> q = turned_back(head.q, head.angles), k = turned_back(head.k, head.angles);
  Matrix<double> scores = q * k.transpose();
  for (Eigen::Index i = 0; i < scores.rows(); ++i) {
    double decay = 0;
    for (Eigen::Index j = i; j >= 0; --j) {
      scores(i, j) *= (head.lambda(j) * head.delta(j) + (j < i ? next(j) : 0)) * std::exp(decay);
      decay += head.delta(j) * head.a(j);
    }
    scores.row(i).tail(scores.cols() - i - 1).setZero();
  }
  return scores * head.v;
}

}  // namespace lightcone::models::reference
