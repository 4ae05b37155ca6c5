// SPDX-License-Identifier: Apache-2.0
// Causal long convolution y_t = sum_{s<=t} K_{t-s} u_s, directly and in the frequency domain (FFTW): y = irfft(rfft(u,
// 2L) rfft(K, 2L)) cut to L. The padding to 2L keeps the end of the kernel from wrapping onto the start. Real: float or
// double.
#pragma once

#include <complex>

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

// The spectrum of `values` padded with zeros to `size`: size/2 + 1 values.
template <class Real>
Vector<std::complex<Real>> real_fft(const Vector<Real>& values, Eigen::Index size);

// `size` real values of a half spectrum of size/2 + 1, scaled by 1 / size.
template <class Real>
Vector<Real> inverse_real_fft(Vector<std::complex<Real>> spectrum, Eigen::Index size);

// y of L values; `size` is that of the transforms, 2 L unless told.
template <class Real>
Vector<Real> fft_convolution(const Vector<Real>& u, const Vector<Real>& kernel, Eigen::Index size = 0);

// The definition.
Vector<double> direct_convolution(const Vector<double>& u, const Vector<double>& kernel);

// The same for every column of T x D.
Matrix<double> fft_convolution_columns(const Matrix<double>& u, const Matrix<double>& kernels);
Matrix<double> direct_convolution_columns(const Matrix<double>& u, const Matrix<double>& kernels);

struct ConvolutionGradients {
  Vector<double> u, kernel;
};

// Gradients of sum(y o y_gradient): correlations, by conjugate spectra.
ConvolutionGradients fft_convolution_backward(const Vector<double>& u, const Vector<double>& kernel,
                                              const Vector<double>& y_gradient);

// Additions and multiplications (a fused pair as 2) of FFTW's plan for one real transform of `size`.
double real_fft_flops(Eigen::Index size);

}  // namespace lightcone::models::reference
