// SPDX-License-Identifier: Apache-2.0
// Diagonal state spaces, discretised by zero-order hold: lambda_ = e^{dt lambda}, B_ = (lambda_ - 1) / lambda B. S4D
// has one system of N/2 conjugate pairs per channel and a convolution kernel of Vandermonde form (Gu et al. 2022, arXiv
// 2206.11893); S5 one system of P states for all channels, run as a scan (Smith et al. 2022, arXiv 2208.04933).
#pragma once

#include "models/reference/lru.h"

namespace lightcone::models::reference {

struct S4dChannel {
  Vector<Complex> lambda, b, c;  // N/2, before discretisation; the conjugates are implied
  double dt = 1;
};

// lambda_n = -1/2 + i pi n, and -1/2 + i N/pi (N/(2n+1) - 1): the initialisations S4D-Lin and S4D-Inv, N/2 values.
Vector<Complex> s4d_lin(Eigen::Index half);
Vector<Complex> s4d_inv(Eigen::Index half);

// y_t = 2 Re(C x_t), token by token.
Vector<double> s4d_recurrence(const S4dChannel& channel, const Vector<double>& u);

// K_l = 2 Re sum_n C_n B_n lambda_n^l, a product with a Vandermonde matrix.
Vector<double> s4d_kernel(const S4dChannel& channel, Eigen::Index length);

// S5 as a diagonal system: lambda P, dt P, B P x H, C H x P, D H.
DiagonalSystem s5(const Vector<Complex>& lambda, const Vector<double>& dt, const Matrix<Complex>& b,
                  const Matrix<Complex>& c, const Vector<double>& feed_through);

}  // namespace lightcone::models::reference
