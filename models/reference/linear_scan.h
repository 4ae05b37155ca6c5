// SPDX-License-Identifier: Apache-2.0
// The elementwise recurrence h_t = a_t h_{t-1} + b_t of every diagonal RNN, serial and as the parallel scan over the
// associative operator (a, b) o (a', b') = (a a', a' b + b') (Blelloch 1990; Martin and Cundy 2018, arXiv 1709.04057).
// Arrays are T x D: rows are tokens, columns independent channels. `Number` may be complex.
#pragma once

#include <algorithm>
#include <vector>

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

// h_0 .. h_{T-1}, T x D; initial: D, empty for zero. 2 FLOP per element.
template <class Number>
Matrix<Number> scan_serial(const Matrix<Number>& a, const Matrix<Number>& b, const Vector<Number>& initial = {}) {
  Matrix<Number> h(b.rows(), b.cols());
  Vector<Number> state = initial.size() != 0 ? initial : Vector<Number>::Zero(b.cols());
  for (Eigen::Index t = 0; t < b.rows(); ++t) {
    for (Eigen::Index d = 0; d < b.cols(); ++d) state(d) = a(t, d) * state(d) + b(t, d);
    h.row(t) = state;
  }
  return h;
}

// The map h -> a h + b of one or more tokens.
template <class Number>
struct ScanPair {
  Number a = Number(1), b = Number(0);
};

// First `x`, then `y`: 3 FLOP.
template <class Number>
ScanPair<Number> then(const ScanPair<Number>& x, const ScanPair<Number>& y) {
  return {x.a * y.a, y.a * x.b + y.b};
}

// Inclusive scan of the items of one thread block after `prefix`, which becomes the prefix of the next block: every
// thread reduces `per_thread` items, the sums are scanned in log2(threads) steps of pairwise combination, as shuffles
// do, and every thread runs over its items again from its own prefix (CUB's BlockScan with a running prefix, as in
// Mamba's kernel).
template <class Number>
void block_scan(std::vector<ScanPair<Number>>& items, std::size_t per_thread, ScanPair<Number>& prefix) {
  std::vector<ScanPair<Number>> sums((items.size() + per_thread - 1) / per_thread);
  for (std::size_t i = 0; i < items.size(); ++i) {
    ScanPair<Number>& sum = sums[i / per_thread];
    sum = i % per_thread == 0 ? items[i] : then(sum, items[i]);
  }
  for (std::size_t distance = 1; distance < sums.size(); distance *= 2) {
    for (std::size_t i = sums.size() - 1; i >= distance; --i) sums[i] = then(sums[i - distance], sums[i]);
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::size_t thread = i / per_thread;
    if (i % per_thread != 0) {
      items[i] = then(items[i - 1], items[i]);
    } else {
      items[i] = then(thread == 0 ? prefix : then(prefix, sums[thread - 1]), items[i]);
    }
  }
  prefix = then(prefix, sums.back());
}

// The same result as scan_serial by thread blocks of threads x per_thread tokens.
template <class Number>
Matrix<Number> scan_blocked(const Matrix<Number>& a, const Matrix<Number>& b, std::size_t threads,
                            std::size_t per_thread, const Vector<Number>& initial = {}) {
  Matrix<Number> h(b.rows(), b.cols());
  const Eigen::Index block = Eigen::Index(threads * per_thread);
  for (Eigen::Index d = 0; d < b.cols(); ++d) {
    ScanPair<Number> prefix{Number(1), initial.size() != 0 ? initial(d) : Number(0)};
    for (Eigen::Index first = 0; first < b.rows(); first += block) {
      std::vector<ScanPair<Number>> items;
      for (Eigen::Index t = first; t < std::min(first + block, b.rows()); ++t) items.push_back({a(t, d), b(t, d)});
      block_scan(items, per_thread, prefix);
      for (std::size_t i = 0; i < items.size(); ++i) h(first + Eigen::Index(i), d) = items[i].b;
    }
  }
  return h;
}

struct ScanGradients {
  Matrix<double> a, b;     // T x D
  Vector<double> initial;  // D
};

// Gradients of sum(h o h_gradient): the same recurrence from the last token to the first. h as scan_serial returned it.
inline ScanGradients scan_backward(const Matrix<double>& a, const Matrix<double>& h, const Vector<double>& initial,
                                   const Matrix<double>& h_gradient) {
  ScanGradients gradients{Matrix<double>(a.rows(), a.cols()), Matrix<double>(a.rows(), a.cols()), {}};
  Vector<double> carried = Vector<double>::Zero(a.cols());
  for (Eigen::Index t = a.rows() - 1; t >= 0; --t) {
    carried += h_gradient.row(t).transpose();
    gradients.b.row(t) = carried;
    const Vector<double> before = t > 0 ? Vector<double>(h.row(t - 1)) : initial;
    gradients.a.row(t) = carried.cwiseProduct(before);
    carried = carried.cwiseProduct(a.row(t).transpose());
  }
  gradients.initial = carried;
  return gradients;
}

}  // namespace lightcone::models::reference
