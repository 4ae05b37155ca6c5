// SPDX-License-Identifier: Apache-2.0
// Mixers of long convolutions and gates. H3: y = q o SSM_diag(SSM_shift(k) o v) (Fu et al. 2022, arXiv 2212.14052,
// section 3). Hyena of order 2: y = x0 o (h * (x1 o v)), h an implicit filter (Poli et al. 2023, arXiv 2302.10866; the
// repository's operator, with order - 1 long convolutions). Arrays are T x D.
#pragma once

#include <vector>

#include "models/reference/causal_conv1d.h"
#include "models/reference/s4d.h"

namespace lightcone::models::reference {

// What convolves columns: direct_convolution_columns or fft_convolution_columns.
using ConvolveColumns = Matrix<double> (*)(const Matrix<double>& u, const Matrix<double>& kernels);

struct H3Inputs {
  Matrix<double> q, k, v;
  ShortFilter<double> shift;         // the shift SSM holds the last w tokens: a short convolution
  std::vector<S4dChannel> diagonal;  // D
};
Matrix<double> h3(const H3Inputs& in, ConvolveColumns convolve);
// Token by token, with the states of both systems.
Matrix<double> h3_recurrent(const H3Inputs& in);

struct HyenaInputs {
  Matrix<double> x0, x1, v;
};
Matrix<double> hyena(const HyenaInputs& in, const Matrix<double>& filters, ConvolveColumns convolve);

// The implicit filter: a two-layer network with sine activation over positions (t, and cos and sin of each band), times
// an exponential window that decays at a rate per channel. length x D.
struct HyenaFilterWeights {
  Matrix<double> first;   // (1 + 2 bands) x hidden
  Matrix<double> second;  // hidden x D
  Vector<double> decay;   // D, positive
  double frequency = 10;
};
Matrix<double> hyena_filters(const HyenaFilterWeights& weights, Eigen::Index length);

}  // namespace lightcone::models::reference
