// SPDX-License-Identifier: Apache-2.0
#include "models/reference/s4.h"

#include "models/reference/fft_convolution.h"

namespace lightcone::models::reference {

using Complex = std::complex<double>;

LegS hippo_legs(Eigen::Index n) {
  LegS legs{Matrix<double>::Zero(n, n), Vector<double>(n)};
  for (Eigen::Index i = 0; i < n; ++i) {
    legs.b(i) = std::sqrt(2.0 * double(i) + 1);
    for (Eigen::Index k = 0; k < i; ++k) legs.a(i, k) = -std::sqrt((2.0 * double(i) + 1) * (2.0 * double(k) + 1));
    legs.a(i, i) = -double(i + 1);
  }
  return legs;
}

DiagonalisedLegS diagonalised_legs(Eigen::Index n) {
  const LegS legs = hippo_legs(n);
  const Vector<double> p = (Vector<double>::LinSpaced(n, 0, double(n - 1)).array() + 0.5).sqrt();
  const Matrix<double> skew = legs.a + p * p.transpose() + 0.5 * Matrix<double>::Identity(n, n);
  // A skew matrix is i times a Hermitian one: eigenvalues i w with w real, vectors unitary.
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXcd> solver(Complex(0, -1) * skew.cast<Complex>());
  DiagonalisedLegS result;
  result.v = solver.eigenvectors();
  result.system.lambda = Complex(0, 1) * solver.eigenvalues().cast<Complex>();
  result.system.lambda.array() -= 0.5;
  result.system.p = result.v.adjoint() * p.cast<Complex>();
  result.system.b = result.v.adjoint() * legs.b.cast<Complex>();
  return result;
}

DiscreteSystem bilinear(const Dplr<double>& system, double dt) {
  const Eigen::Index n = system.lambda.size();
  const Matrix<Complex> unit = Matrix<Complex>::Identity(n, n);
  Matrix<Complex> a = -system.p * system.p.adjoint();
  a.diagonal() += system.lambda;
  const Eigen::PartialPivLU<Matrix<Complex>> left(unit - dt / 2 * a);
  return {left.solve(unit + dt / 2 * a), left.solve(dt * system.b)};
}

Vector<double> s4_dense_recurrence(const DiscreteSystem& system, const Vector<Complex>& c, const Vector<double>& u) {
  Vector<Complex> x = Vector<Complex>::Zero(system.b.size());
  Vector<double> y(u.size());
  for (Eigen::Index t = 0; t < u.size(); ++t) {
    x = (system.a * x + system.b * u(t)).eval();
    y(t) = c.dot(x).real();
  }
  return y;
}

Vector<double> s4_dplr_recurrence(const Dplr<double>& system, double dt, const Vector<Complex>& c,
                                  const Vector<double>& u) {
  // (1 - dt/2 Lambda + dt/2 p p*) x_t = x + dt/2 (Lambda x - p (p* x)) + dt B u.
  const Vector<Complex> inverse = (1 - dt / 2 * system.lambda.array()).inverse();
  const Vector<Complex> scaled_p = inverse.cwiseProduct(system.p);
  const Complex below = 1.0 + dt / 2 * system.p.dot(scaled_p);
  Vector<Complex> x = Vector<Complex>::Zero(system.b.size());
  Vector<double> y(u.size());
  for (Eigen::Index t = 0; t < u.size(); ++t) {
    const Vector<Complex> right =
        x + dt / 2 * (system.lambda.cwiseProduct(x) - system.p * system.p.dot(x)) + dt * u(t) * system.b;
    x = inverse.cwiseProduct(right);
    x -= (scaled_p * (dt / 2 * system.p.dot(x) / below)).eval();
    y(t) = c.dot(x).real();
  }
  return y;
}

Vector<double> s4_kernel_by_powers(const DiscreteSystem& system, const Vector<Complex>& c, Eigen::Index length) {
  Vector<double> kernel(length);
  Vector<Complex> x = system.b;
  for (Eigen::Index l = 0; l < length; ++l) {
    kernel(l) = c.dot(x).real();
    x = (system.a * x).eval();
  }
  return kernel;
}

Vector<Complex> truncated_output(const DiscreteSystem& system, const Vector<Complex>& c, Eigen::Index length) {
  // A_^L C by repeated squaring.
  const Eigen::Index n = system.b.size();
  Matrix<Complex> power = Matrix<Complex>::Identity(n, n), square = system.a;
  for (Eigen::Index rest = length; rest != 0; rest /= 2) {
    if (rest % 2 != 0) power = (power * square).eval();
    square = (square * square).eval();
  }
  return c - power.adjoint() * c;
}

template <class Real>
Vector<Real> s4_kernel_by_cauchy(const Dplr<Real>& system, Real dt, const Vector<std::complex<Real>>& truncated,
                                 Eigen::Index length) {
  using Value = std::complex<Real>;
  Vector<Value> spectrum(length / 2 + 1);
  for (Eigen::Index l = 0; l <= length / 2; ++l) {
    if (2 * l == length) {
      spectrum(l) = dt / 2 * truncated.dot(system.b);
      continue;
    }
    const Value z(std::polar(1.0, -2 * 3.141592653589793 * double(l) / double(length)));
    const Value g = Real(2) / dt * (Real(1) - z) / (Real(1) + z);
    const Vector<Value> poles = (g - system.lambda.array()).inverse();
    const auto k = [&](const Vector<Value>& a, const Vector<Value>& b) { return a.dot(poles.cwiseProduct(b)); };
    spectrum(l) =
        Real(2) / (Real(1) + z) *
        (k(truncated, system.b) - k(truncated, system.p) * k(system.p, system.b) / (Real(1) + k(system.p, system.p)));
  }
  return inverse_real_fft<Real>(spectrum, length);
}

template Vector<double> s4_kernel_by_cauchy(const Dplr<double>&, double, const Vector<std::complex<double>>&,
                                            Eigen::Index);
template Vector<float> s4_kernel_by_cauchy(const Dplr<float>&, float, const Vector<std::complex<float>>&, Eigen::Index);

}  // namespace lightcone::models::reference
