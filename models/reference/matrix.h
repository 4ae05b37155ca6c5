// SPDX-License-Identifier: Apache-2.0
// Dense matrices of the reference numerics (Eigen, row-major: row = token), seeded inputs and error measures.
#pragma once

#include <Eigen/Dense>
#include <boost/random/mersenne_twister.hpp>
#include <boost/random/normal_distribution.hpp>
#include <cmath>
#include <cstdint>

namespace lightcone::models::reference {

template <class Number>
using Matrix = Eigen::Matrix<Number, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class Number>
using Vector = Eigen::Matrix<Number, Eigen::Dynamic, 1>;

// Standard normal values; the same on every machine (std::normal_distribution is not).
class SeededValues {
 public:
  explicit SeededValues(std::uint64_t seed) : engine_(seed) {}
  double next() { return normal_(engine_); }
  Matrix<double> matrix(Eigen::Index rows, Eigen::Index columns, double scale = 1) {
    return Matrix<double>::NullaryExpr(rows, columns, [&] { return scale * next(); });
  }
  Vector<double> vector(Eigen::Index size, double scale = 1) {
    return Vector<double>::NullaryExpr(size, [&] { return scale * next(); });
  }

 private:
  boost::random::mt19937_64 engine_;
  boost::random::normal_distribution<double> normal_;
};

// Root mean square of the difference over that of the expectation. 0 for two zeros; infinite for a wrong zero.
template <class A, class B>
double rms_ratio(const Eigen::MatrixBase<A>& got, const Eigen::MatrixBase<B>& expected) {
  const Matrix<double> e = expected.template cast<double>();
  const double difference = (got.template cast<double>() - e).norm();
  return difference == 0 ? 0 : difference / e.norm();
}

}  // namespace lightcone::models::reference
