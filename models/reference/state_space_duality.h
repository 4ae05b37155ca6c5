// SPDX-License-Identifier: Apache-2.0
// Mamba-2: per head a state of N x P with one decay, S_t = e^{dt_t A} S_{t-1} + dt_t B_t x_t^T, y_t = S_t^T C_t, B and
// C shared by the heads of a group (state space duality: Dao and Gu 2024, arXiv 2405.21060;
// mamba_ssm/ops/triton/ssd_combined.py). The chunk form is its five kernels, each a function here. Rows are tokens.
#pragma once

#include <algorithm>
#include <vector>

#include "models/reference/gemm.h"

namespace lightcone::models::reference {

template <class Number>
struct SsdInputs {
  Matrix<Number> x;     // T x (heads P)
  Matrix<Number> dt;    // T x heads, after softplus
  Vector<Number> a;     // heads, negative
  Matrix<Number> b, c;  // T x (groups N)
  Eigen::Index groups = 1;

  [[nodiscard]] Eigen::Index tokens() const { return x.rows(); }
  [[nodiscard]] Eigen::Index heads() const { return dt.cols(); }
  [[nodiscard]] Eigen::Index head_size() const { return x.cols() / heads(); }
  [[nodiscard]] Eigen::Index states() const { return b.cols() / groups; }
  [[nodiscard]] Eigen::Index group(Eigen::Index head) const { return head / (heads() / groups); }
  // Rows of one head's x, or of its group's B or C.
  [[nodiscard]] Matrix<Number> x_of(Eigen::Index head, Eigen::Index first, Eigen::Index rows) const {
    return x.block(first, head * head_size(), rows, head_size());
  }
  [[nodiscard]] Matrix<Number> group_rows(const Matrix<Number>& bc, Eigen::Index g, Eigen::Index first,
                                          Eigen::Index rows) const {
    return bc.block(first, g * states(), rows, states());
  }
};

template <class Number>
struct SsdResult {
  Matrix<Number> y;                    // T x (heads P)
  std::vector<Matrix<Number>> states;  // heads of N x P, after the last token
};

// The definition, token by token: per head 5 N P + P + 1 FLOP (decay, update, read; dt x; dt A).
template <class Number>
SsdResult<Number> ssd_recurrent(const SsdInputs<Number>& in) {
  using std::exp;
  SsdResult<Number> result{Matrix<Number>(in.x.rows(), in.x.cols()), {}};
  for (Eigen::Index h = 0; h < in.heads(); ++h) {
    Matrix<Number> state = Matrix<Number>::Zero(in.states(), in.head_size());
    for (Eigen::Index t = 0; t < in.tokens(); ++t) {
      const Matrix<Number> x = in.x_of(h, t, 1) * in.dt(t, h);
      state *= exp(in.dt(t, h) * in.a(h));
      add_product(state, in.group_rows(in.b, in.group(h), t, 1).transpose(), x);
      result.y.block(t, h * in.head_size(), 1, in.head_size()) = product(in.group_rows(in.c, in.group(h), t, 1), state);
    }
    result.states.push_back(state);
  }
  return result;
}

// 1. chunk_cumsum: running sums of dt A from the chunk's start. T x heads.
template <class Number>
Matrix<Number> ssd_chunk_cumsum(const SsdInputs<Number>& in, Eigen::Index chunk) {
  Matrix<Number> sums = in.dt * in.a.asDiagonal();
  for (Eigen::Index t = 1; t < in.tokens(); ++t) {
    if (t % chunk != 0) sums.row(t) += sums.row(t - 1);
  }
  return sums;
}

// 2. chunk_state: what each chunk adds to the state, B^T (e^{sum_end - sum} dt x), N x P. 2 Q N P FLOP per head.
template <class Number, class Operands>
Matrix<Number> ssd_chunk_state(const SsdInputs<Number>& in, const Matrix<Number>& sums, Eigen::Index h,
                               Eigen::Index first, Eigen::Index rows, Operands operand) {
  using std::exp;
  Matrix<Number> b = in.group_rows(in.b, in.group(h), first, rows);
  for (Eigen::Index i = 0; i < rows; ++i) {
    b.row(i) *= exp(sums(first + rows - 1, h) - sums(first + i, h)) * in.dt(first + i, h);
  }
  return product(operand(b).transpose(), operand(in.x_of(h, first, rows)));
}

// 3. state_passing: chunk after chunk, state before each and after the last. Elementwise, serial.
template <class Number>
std::vector<Matrix<Number>> ssd_state_passing(const std::vector<Matrix<Number>>& added,
                                              const std::vector<Number>& decays) {
  std::vector<Matrix<Number>> states{Matrix<Number>::Zero(added.front().rows(), added.front().cols())};
  for (std::size_t c = 0; c < added.size(); ++c) states.push_back(states.back() * decays[c] + added[c]);
  return states;
}

// 4. bmm_chunk: C B^T of one chunk, once per group. 2 Q^2 N FLOP.
template <class Number, class Operands>
Matrix<Number> ssd_bmm_chunk(const SsdInputs<Number>& in, Eigen::Index g, Eigen::Index first, Eigen::Index rows,
                             Operands operand) {
  return product(operand(in.group_rows(in.c, g, first, rows)),
                 operand(in.group_rows(in.b, g, first, rows)).transpose());
}

// 5. chunk_scan: e^{sum} C S + (C B^T o L o dt) x of one chunk and head. 2 Q^2 P + 2 Q N P FLOP.
template <class Number, class Operands>
Matrix<Number> ssd_chunk_scan(const SsdInputs<Number>& in, const Matrix<Number>& sums, Matrix<Number> cb,
                              const Matrix<Number>& state, Eigen::Index h, Eigen::Index first, Operands operand) {
  using std::exp;
  const Eigen::Index rows = cb.rows();
  Matrix<Number> y = product(operand(in.group_rows(in.c, in.group(h), first, rows)), operand(state));
  for (Eigen::Index i = 0; i < rows; ++i) {
    y.row(i) *= exp(sums(first + i, h));
    for (Eigen::Index j = 0; j < rows; ++j) {
      cb(i, j) =
          j <= i ? Number(cb(i, j) * exp(sums(first + i, h) - sums(first + j, h)) * in.dt(first + j, h)) : Number(0);
    }
  }
  add_product(y, operand(cb), operand(in.x_of(h, first, rows)));
  return y;
}

// The five kernels in order. GEMMs per token: heads (4 N P + 2 Q P) + groups 2 Q N FLOP.
template <class Number, class Operands = ExactOperands>
SsdResult<Number> ssd_chunked(const SsdInputs<Number>& in, Eigen::Index chunk, Operands operand = {}) {
  using std::exp;
  SsdResult<Number> result{Matrix<Number>(in.x.rows(), in.x.cols()), {}};
  const Matrix<Number> sums = ssd_chunk_cumsum(in, chunk);
  std::vector<std::vector<Matrix<Number>>> states;  // per head, per chunk
  for (Eigen::Index h = 0; h < in.heads(); ++h) {
    std::vector<Matrix<Number>> added;
    std::vector<Number> decays;
    for (Eigen::Index first = 0; first < in.tokens(); first += chunk) {
      const Eigen::Index rows = std::min(chunk, in.tokens() - first);
      added.push_back(ssd_chunk_state(in, sums, h, first, rows, operand));
      decays.push_back(exp(sums(first + rows - 1, h)));
    }
    states.push_back(ssd_state_passing(added, decays));
    result.states.push_back(states.back().back());
  }
  for (Eigen::Index first = 0; first < in.tokens(); first += chunk) {
    const Eigen::Index rows = std::min(chunk, in.tokens() - first);
    std::vector<Matrix<Number>> cb;
    for (Eigen::Index g = 0; g < in.groups; ++g) cb.push_back(ssd_bmm_chunk(in, g, first, rows, operand));
    for (Eigen::Index h = 0; h < in.heads(); ++h) {
      result.y.block(first, h * in.head_size(), rows, in.head_size()) =
          ssd_chunk_scan(in, sums, cb[std::size_t(in.group(h))], states[std::size_t(h)][std::size_t(first / chunk)], h,
                         first, operand);
    }
  }
  return result;
}

// The quadratic form, Y = (L o C B^T)(dt x) with L_ij = exp(segment sum of dt A over (j, i]): each segment summed by
// itself, not as a difference of running sums (segsum of ssd_minimal.py).
inline Matrix<double> ssd_quadratic(const SsdInputs<double>& in) {
  const Eigen::Index tokens = in.tokens();
  Matrix<double> y(in.x.rows(), in.x.cols());
  for (Eigen::Index h = 0; h < in.heads(); ++h) {
    Matrix<double> scores =
        in.group_rows(in.c, in.group(h), 0, tokens) * in.group_rows(in.b, in.group(h), 0, tokens).transpose();
    for (Eigen::Index i = 0; i < tokens; ++i) {
      double segment = 0;
      for (Eigen::Index j = i; j >= 0; --j) {
        scores(i, j) *= std::exp(segment) * in.dt(j, h);
        segment += in.dt(j, h) * in.a(h);
      }
      scores.row(i).tail(tokens - i - 1).setZero();
    }
    y.middleCols(h * in.head_size(), in.head_size()) = scores * in.x_of(h, 0, tokens);
  }
  return y;
}

}  // namespace lightcone::models::reference
