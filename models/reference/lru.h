// SPDX-License-Identifier: Apache-2.0
// The linear recurrent unit: a complex diagonal recurrence between two dense maps, h_t = lambda h_{t-1} + gamma (B
// x_t), y_t = Re(C h_t) + D x_t with lambda = exp(-exp(nu) + i exp(theta)) and gamma = sqrt(1 - |lambda|^2) (Orvieto et
// al. 2023, arXiv 2303.06349, eq. 5-7). S5 is the same with a discretised lambda. Rows are tokens.
#pragma once

#include <complex>

#include "models/reference/linear_scan.h"

namespace lightcone::models::reference {

using Complex = std::complex<double>;

// y = Re(C h) + D x with h a diagonal recurrence of inputs scaled by `input_scale`.
struct DiagonalSystem {
  Vector<Complex> lambda;       // P, per token
  Matrix<Complex> b;            // P x H, input scale included
  Matrix<Complex> c;            // H x P
  Vector<double> feed_through;  // H
};

// The LRU from its trained parameters: nu and theta P, B P x H, C H x P, D H.
DiagonalSystem lru(const Vector<double>& nu, const Vector<double>& theta, const Matrix<Complex>& b,
                   const Matrix<Complex>& c, const Vector<double>& feed_through);

// y, T x H, of x, T x H: token by token; by a parallel scan; and with the powers of lambda written out.
Matrix<double> diagonal_system_serial(const DiagonalSystem& system, const Matrix<double>& x);
Matrix<double> diagonal_system_scan(const DiagonalSystem& system, const Matrix<double>& x, std::size_t threads,
                                    std::size_t per_thread);
Matrix<double> diagonal_system_quadratic(const DiagonalSystem& system, const Matrix<double>& x);

}  // namespace lightcone::models::reference
