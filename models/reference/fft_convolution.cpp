// SPDX-License-Identifier: Apache-2.0
#include "models/reference/fft_convolution.h"

#include <fftw3.h>

#include <memory>

namespace lightcone::models::reference {

namespace {

// FFTW's two libraries under one name. A std::complex is laid out as FFTW's complex (its manual, section 4.1.1).
template <class Real>
struct Fftw;

template <>
struct Fftw<double> {
  using Plan = std::unique_ptr<fftw_plan_s, decltype(&fftw_destroy_plan)>;
  static Plan forward(int n, double* in, std::complex<double>* out) {
    return {fftw_plan_dft_r2c_1d(n, in, reinterpret_cast<fftw_complex*>(out), FFTW_ESTIMATE), &fftw_destroy_plan};
  }
  static Plan backward(int n, std::complex<double>* in, double* out) {
    return {fftw_plan_dft_c2r_1d(n, reinterpret_cast<fftw_complex*>(in), out, FFTW_ESTIMATE), &fftw_destroy_plan};
  }
  static void run(const Plan& plan) { fftw_execute(plan.get()); }
};

template <>
struct Fftw<float> {
  using Plan = std::unique_ptr<fftwf_plan_s, decltype(&fftwf_destroy_plan)>;
  static Plan forward(int n, float* in, std::complex<float>* out) {
    return {fftwf_plan_dft_r2c_1d(n, in, reinterpret_cast<fftwf_complex*>(out), FFTW_ESTIMATE), &fftwf_destroy_plan};
  }
  static Plan backward(int n, std::complex<float>* in, float* out) {
    return {fftwf_plan_dft_c2r_1d(n, reinterpret_cast<fftwf_complex*>(in), out, FFTW_ESTIMATE), &fftwf_destroy_plan};
  }
  static void run(const Plan& plan) { fftwf_execute(plan.get()); }
};

}  // namespace

template <class Real>
Vector<std::complex<Real>> real_fft(const Vector<Real>& values, Eigen::Index size) {
  Vector<Real> in = Vector<Real>::Zero(size);
  in.head(std::min(size, values.size())) = values.head(std::min(size, values.size()));
  Vector<std::complex<Real>> out(size / 2 + 1);
  Fftw<Real>::run(Fftw<Real>::forward(int(size), in.data(), out.data()));
  return out;
}

template <class Real>
Vector<Real> inverse_real_fft(Vector<std::complex<Real>> spectrum, Eigen::Index size) {
  Vector<Real> out(size);
  Fftw<Real>::run(Fftw<Real>::backward(int(size), spectrum.data(), out.data()));
  return out / Real(size);
}

template <class Real>
Vector<Real> fft_convolution(const Vector<Real>& u, const Vector<Real>& kernel, Eigen::Index size) {
  const Eigen::Index n = size != 0 ? size : 2 * u.size();
  return inverse_real_fft<Real>(real_fft(u, n).cwiseProduct(real_fft(kernel, n)), n).head(u.size());
}

template Vector<std::complex<double>> real_fft(const Vector<double>&, Eigen::Index);
template Vector<std::complex<float>> real_fft(const Vector<float>&, Eigen::Index);
template Vector<double> inverse_real_fft(Vector<std::complex<double>>, Eigen::Index);
template Vector<float> inverse_real_fft(Vector<std::complex<float>>, Eigen::Index);
template Vector<double> fft_convolution(const Vector<double>&, const Vector<double>&, Eigen::Index);
template Vector<float> fft_convolution(const Vector<float>&, const Vector<float>&, Eigen::Index);

Vector<double> direct_convolution(const Vector<double>& u, const Vector<double>& kernel) {
  Vector<double> y(u.size());
  for (Eigen::Index t = 0; t < u.size(); ++t) y(t) = u.head(t + 1).dot(kernel.head(t + 1).reverse());
  return y;
}

Matrix<double> fft_convolution_columns(const Matrix<double>& u, const Matrix<double>& kernels) {
  Matrix<double> y(u.rows(), u.cols());
  for (Eigen::Index d = 0; d < u.cols(); ++d) y.col(d) = fft_convolution<double>(u.col(d), kernels.col(d));
  return y;
}

Matrix<double> direct_convolution_columns(const Matrix<double>& u, const Matrix<double>& kernels) {
  Matrix<double> y(u.rows(), u.cols());
  for (Eigen::Index d = 0; d < u.cols(); ++d) y.col(d) = direct_convolution(u.col(d), kernels.col(d));
  return y;
}

ConvolutionGradients fft_convolution_backward(const Vector<double>& u, const Vector<double>& kernel,
                                              const Vector<double>& y_gradient) {
  const Eigen::Index length = u.size(), n = 2 * length;
  const auto spectrum = real_fft(y_gradient, n);
  const auto correlate = [&](const Vector<double>& with) {
    return Vector<double>(
        inverse_real_fft<double>(spectrum.cwiseProduct(real_fft(with, n).conjugate()), n).head(length));
  };
  return {correlate(kernel), correlate(u)};
}

double real_fft_flops(Eigen::Index size) {
  Vector<double> in(size);
  Vector<std::complex<double>> out(size / 2 + 1);
  // Without vector instructions, which FFTW counts as one each.
  const Fftw<double>::Plan plan(fftw_plan_dft_r2c_1d(int(size), in.data(), reinterpret_cast<fftw_complex*>(out.data()),
                                                     FFTW_ESTIMATE | FFTW_NO_SIMD),
                                &fftw_destroy_plan);
  double adds = 0, multiplies = 0, fused = 0;
  fftw_flops(plan.get(), &adds, &multiplies, &fused);
  return adds + multiplies + 2 * fused;
}

}  // namespace lightcone::models::reference
