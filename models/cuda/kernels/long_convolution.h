// SPDX-License-Identifier: Apache-2.0
// S4D's convolution kernel as a Vandermonde product, and the causal convolution of a sequence with a kernel as long as
// itself, through cuFFT: pad, transform, multiply, transform back, cut.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/number.h"

namespace lightcone::models::cuda {

// K_l = 2 Re sum_n w_n e^{l x_n}: a thread per l, the poles of its channel through shared memory.
struct VandermondeParams {
  // [channels, poles]: Re(w), Im(w); Re(x); Im(x) / 2 pi as a float and what it lacks.
  const float *weight_re, *weight_im, *exponent_re, *turns, *turns_rest;
  float* kernel;  // [channels, length]
  int length, poles;
};
struct Vandermonde {
  using Params = VandermondeParams;
  static constexpr int kThreads = 128, kMostPoles = 128;
  struct Shared {
    float weight_re[kMostPoles], weight_im[kMostPoles], exponent_re[kMostPoles], turns[kMostPoles], rest[kMostPoles];
  };

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int channel = block.y(), l = block.x() * kThreads + block.thread();
    for (int n = block.thread(); n < p.poles; n += kThreads) {
      const int at = channel * p.poles + n;
      s.weight_re[n] = p.weight_re[at];
      s.weight_im[n] = p.weight_im[at];
      s.exponent_re[n] = p.exponent_re[at];
      s.turns[n] = p.turns[at];
      s.rest[n] = p.turns_rest[at];
    }
    block.sync();
    if (l >= p.length) return;
    const float position = static_cast<float>(l);
    float sum = 0;
    for (int n = 0; n < p.poles; ++n) {
      // The phase l x reaches thousands of turns, of which fp32 would lose the fraction: product and rounding error of
      // it (exact by a fused multiply-add), whole turns off, then the rest.
      const float product = position * s.turns[n], error = fmaf(position, s.turns[n], -product);
      const float fraction = product - rintf(product) + (error + position * s.rest[n]);
      const float angle = fraction * 6.283185307179586F, size = expf(position * s.exponent_re[n]);
      sum += size * (s.weight_re[n] * cosf(angle) - s.weight_im[n] * sinf(angle));
    }
    p.kernel[static_cast<std::int64_t>(channel) * p.length + l] = 2.0F * sum;
  }
};

// weight re, weight im, exponent re, turns, rest [channels, poles] -> kernel [channels, length].
template <class Run>
void s4_vandermonde(Run& run, const Arguments& args) {
  const int length = args.size("length"), poles = args.size("poles");
  if (poles > Vandermonde::kMostPoles) throw std::invalid_argument("Vandermonde kernel: at most 128 poles");
  run.template launch<Vandermonde>({ceil_div(length, Vandermonde::kThreads), args.size("channels")},
                                   {args.input<float>(0), args.input<float>(1), args.input<float>(2),
                                    args.input<float>(3), args.input<float>(4), args.output<float>(0), length, poles});
}

// Rows of `length` followed by zeros, rows of `padded`.
struct PadRows {
  struct Params {
    const float* in;
    float* out;
    int length, padded;
  };
  static constexpr int kThreads = 256;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int i = block.x() * kThreads + block.thread();
    const std::int64_t row = block.y();
    if (i < p.padded) p.out[row * p.padded + i] = i < p.length ? p.in[row * p.length + i] : 0.0F;
  }
};

// a = a b of complex values.
struct MultiplySpectra {
  struct Params {
    float* a;
    const float* b;
    int count, b_rows;  // complex values of a row; row r of a meets row r % b_rows of b
  };
  static constexpr int kThreads = 256;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int i = block.x() * kThreads + block.thread();
    if (i >= p.count) return;
    float* a = p.a + (static_cast<std::int64_t>(block.y()) * p.count + i) * 2;
    const float* b = p.b + (static_cast<std::int64_t>(block.y() % p.b_rows) * p.count + i) * 2;
    const float re = a[0] * b[0] - a[1] * b[1], im = a[0] * b[1] + a[1] * b[0];
    a[0] = re;
    a[1] = im;
  }
};

// The first `length` of each row, divided by the size of the transform.
struct CutRows {
  using Params = PadRows::Params;
  static constexpr int kThreads = 256;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int i = block.x() * kThreads + block.thread();
    const std::int64_t row = block.y();
    if (i < p.length) p.out[row * p.length + i] = p.in[row * p.padded + i] / static_cast<float>(p.padded);
  }
};

// u [batch, channels, length], kernel [channels, length] -> y as u, fp32.
template <class Run>
void s4_fft_convolution(Run& run, const Arguments& args) {
  const int length = args.size("length"), channels = args.size("channels"), rows = args.size("batch") * channels,
            padded = 2 * length, spectrum = length + 1;
  const auto count = [](int n, int each) { return static_cast<std::size_t>(n) * static_cast<std::size_t>(each); };
  float* signal = run.template scratch<float>(count(rows, padded));
  float* filter = run.template scratch<float>(count(channels, padded));
  float* signal_spectrum = run.template scratch<float>(count(rows, 2 * spectrum));
  float* filter_spectrum = run.template scratch<float>(count(channels, 2 * spectrum));
  const Grid pad{ceil_div(padded, PadRows::kThreads), rows};
  run.template launch<PadRows>(pad, {args.input<float>(0), signal, length, padded});
  run.template launch<PadRows>({pad.x, channels}, {args.input<float>(1), filter, length, padded});
  run.real_to_complex(signal, signal_spectrum, padded, rows);
  run.real_to_complex(filter, filter_spectrum, padded, channels);
  run.template launch<MultiplySpectra>({ceil_div(spectrum, MultiplySpectra::kThreads), rows},
                                       {signal_spectrum, filter_spectrum, spectrum, channels});
  run.complex_to_real(signal_spectrum, signal, padded, rows);
  run.template launch<CutRows>({ceil_div(length, CutRows::kThreads), rows},
                               {signal, args.output<float>(0), length, padded});
}

}  // namespace lightcone::models::cuda
