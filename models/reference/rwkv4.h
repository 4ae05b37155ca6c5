// SPDX-License-Identifier: Apache-2.0
// The WKV operator of RWKV-4, per channel: a mean of values weighted by e^{k}, decaying by e^{w} per token, with a
// bonus u for the present token (Peng et al. 2023, arXiv 2305.13048, eq. 16; running maximum of its appendix D).
#pragma once

#include <algorithm>

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

template <class Number>
struct Rwkv4Channels {
  Matrix<Number> k, v;  // T x D
  Vector<Number> w, u;  // D log decays w <= 0, D bonuses
};

// The sums over all earlier tokens, written out without any stabilisation.
inline Matrix<double> rwkv4_quadratic(const Rwkv4Channels<double>& in) {
  Matrix<double> output(in.v.rows(), in.v.cols());
  for (Eigen::Index d = 0; d < in.v.cols(); ++d) {
    for (Eigen::Index t = 0; t < in.v.rows(); ++t) {
      double above = std::exp(in.u(d) + in.k(t, d)) * in.v(t, d), below = std::exp(in.u(d) + in.k(t, d));
      for (Eigen::Index i = 0; i < t; ++i) {
        const double weight = std::exp(double(t - 1 - i) * in.w(d) + in.k(i, d));
        above += weight * in.v(i, d);
        below += weight;
      }
      output(t, d) = above / below;
    }
  }
  return output;
}

// State of one channel: sums divided by e^p. 17 FLOP and 4 exponentials per token, of which 9 FLOP and 2 exponentials
// read the output.
template <class Number>
struct Rwkv4State {
  Number above = Number(0), below = Number(0), p = Number(-1e38);

  Number step(const Number& k, const Number& v, const Number& w, const Number& u) {
    using std::exp;
    // 1. The output sees the present token with its bonus.
    const Number bonus = u + k, top = std::max(p, bonus);
    const Number old_scale = exp(p - top), new_scale = exp(bonus - top);
    const Number output = (old_scale * above + new_scale * v) / (old_scale * below + new_scale);
    // 2. The state decays and takes the token.
    const Number decayed = w + p, next = std::max(decayed, k);
    const Number keep = exp(decayed - next), take = exp(k - next);
    above = keep * above + take * v;
    below = keep * below + take;
    p = next;
    return output;
  }
};

template <class Number>
Matrix<Number> rwkv4_recurrent(const Rwkv4Channels<Number>& in) {
  Matrix<Number> output(in.v.rows(), in.v.cols());
  for (Eigen::Index d = 0; d < in.v.cols(); ++d) {
    Rwkv4State<Number> state;
    for (Eigen::Index t = 0; t < in.v.rows(); ++t) output(t, d) = state.step(in.k(t, d), in.v(t, d), in.w(d), in.u(d));
  }
  return output;
}

}  // namespace lightcone::models::reference
