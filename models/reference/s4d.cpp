// SPDX-License-Identifier: Apache-2.0
#include "models/reference/s4d.h"

namespace lightcone::models::reference {

namespace {

const double kPi = 3.141592653589793;

// e^{dt lambda} and (e^{dt lambda} - 1) / lambda.
std::pair<Complex, Complex> zero_order_hold(Complex lambda, double dt) {
  const Complex decay = std::exp(dt * lambda);
  return {decay, (decay - 1.0) / lambda};
}

}  // namespace

Vector<Complex> s4d_lin(Eigen::Index half) {
  return Vector<Complex>::NullaryExpr(half, [](Eigen::Index n) { return Complex(-0.5, kPi * double(n)); });
}

Vector<Complex> s4d_inv(Eigen::Index half) {
  const double states = 2.0 * double(half);
  return Vector<Complex>::NullaryExpr(
      half, [&](Eigen::Index n) { return Complex(-0.5, states / kPi * (states / (2.0 * double(n) + 1) - 1)); });
}

Vector<double> s4d_recurrence(const S4dChannel& channel, const Vector<double>& u) {
  Vector<Complex> x = Vector<Complex>::Zero(channel.lambda.size());
  Vector<double> y(u.size());
  for (Eigen::Index t = 0; t < u.size(); ++t) {
    y(t) = 0;
    for (Eigen::Index n = 0; n < x.size(); ++n) {
      const auto [decay, input] = zero_order_hold(channel.lambda(n), channel.dt);
      x(n) = decay * x(n) + input * channel.b(n) * u(t);
      y(t) += 2 * (channel.c(n) * x(n)).real();
    }
  }
  return y;
}

Vector<double> s4d_kernel(const S4dChannel& channel, Eigen::Index length) {
  Vector<double> kernel = Vector<double>::Zero(length);
  for (Eigen::Index n = 0; n < channel.lambda.size(); ++n) {
    const Complex factor = channel.c(n) * channel.b(n) * zero_order_hold(channel.lambda(n), channel.dt).second;
    for (Eigen::Index l = 0; l < length; ++l) {
      kernel(l) += 2 * (factor * std::exp(double(l) * channel.dt * channel.lambda(n))).real();
    }
  }
  return kernel;
}

DiagonalSystem s5(const Vector<Complex>& lambda, const Vector<double>& dt, const Matrix<Complex>& b,
                  const Matrix<Complex>& c, const Vector<double>& feed_through) {
  DiagonalSystem system{lambda, b, c, feed_through};
  for (Eigen::Index p = 0; p < lambda.size(); ++p) {
    const auto [decay, input] = zero_order_hold(lambda(p), dt(p));
    system.lambda(p) = decay;
    system.b.row(p) *= input;
  }
  return system;
}

}  // namespace lightcone::models::reference
