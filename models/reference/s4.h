// SPDX-License-Identifier: Apache-2.0
// S4, one channel: x' = A x + B u, y = C* x with the HiPPO-LegS matrix, kept as diagonal plus low rank; its convolution
// kernel by Cauchy sums at the roots of unity (Gu, Goel and Re 2021, arXiv 2111.00396, appendix C; srush/annotated-s4).
// All N poles are summed; kernels in production sum N/2 of conjugate pairs.
#pragma once

#include <complex>

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

// HiPPO-LegS: A_nk = -sqrt((2n+1)(2k+1)) below the diagonal, -(n+1) on it; B_n = sqrt(2n+1) (HiPPO: Gu et al. 2020,
// arXiv 2008.07669, theorem 2).
struct LegS {
  Matrix<double> a;  // N x N
  Vector<double> b;  // N
};
LegS hippo_legs(Eigen::Index n);

// A = V (Lambda - p p*) V*, B = V b with V unitary: A + P P^T with P_n = sqrt(n + 1/2) is -1/2 plus a skew matrix.
template <class Real>
struct Dplr {
  Vector<std::complex<Real>> lambda, p, b;  // N
};
struct DiagonalisedLegS {
  Dplr<double> system;
  Matrix<std::complex<double>> v;  // N x N
};
DiagonalisedLegS diagonalised_legs(Eigen::Index n);

// The bilinear discretisation with step dt: A_ = (I - dt/2 A)^{-1} (I + dt/2 A), B_ = (I - dt/2 A)^{-1} dt B, dense.
struct DiscreteSystem {
  Matrix<std::complex<double>> a;  // N x N
  Vector<std::complex<double>> b;  // N
};
DiscreteSystem bilinear(const Dplr<double>& system, double dt);

// y_t = Re(C* x_t), x_t = A_ x_{t-1} + B_ u_t: with the dense matrix, and in O(N) per token with the inverse by the
// Sherman-Morrison formula, as at decode.
Vector<double> s4_dense_recurrence(const DiscreteSystem& system, const Vector<std::complex<double>>& c,
                                   const Vector<double>& u);
Vector<double> s4_dplr_recurrence(const Dplr<double>& system, double dt, const Vector<std::complex<double>>& c,
                                  const Vector<double>& u);

// The definition of the kernel, K_l = Re(C* A_^l B_), l < length.
Vector<double> s4_kernel_by_powers(const DiscreteSystem& system, const Vector<std::complex<double>>& c,
                                   Eigen::Index length);

// C~ = (I - A_^L)* C, which makes the generating function of L terms a finite sum.
Vector<std::complex<double>> truncated_output(const DiscreteSystem& system, const Vector<std::complex<double>>& c,
                                              Eigen::Index length);

// The kernel's spectrum at the roots of unity z_l = e^{-2 pi i l / L}, l <= L/2, then an inverse FFT. With g = (2/dt)
// (1-z)/(1+z) and k(a, b) = sum conj(a_n) b_n / (g - Lambda_n): 2/(1+z) [k(C~, B) - k(C~, P) k(P, B) / (1 + k(P, P))].
// At z = -1 both g and 2/(1+z) diverge; the limit is dt/2 C~*.B. The kernel must be real: C = V* c with c real. Real:
// float or double.
template <class Real>
Vector<Real> s4_kernel_by_cauchy(const Dplr<Real>& system, Real dt, const Vector<std::complex<Real>>& truncated,
                                 Eigen::Index length);

}  // namespace lightcone::models::reference
