// SPDX-License-Identifier: Apache-2.0
// Mamba's selective scan, per channel d with N states: h_t = e^{Delta_t A} h_{t-1} + Delta_t B_t u_t, y_t = C_t.h_t + D
// u_t, gated y silu(z) (Gu and Dao 2023, arXiv 2312.00752, algorithm 2; state-spaces/mamba csrc/selective_scan). Rows
// are tokens.
#pragma once

#include "models/reference/activations.h"
#include "models/reference/linear_scan.h"

namespace lightcone::models::reference {

template <class Number>
struct SelectiveScan {
  Matrix<Number> u, delta;  // T x D; delta after softplus
  Matrix<Number> a;         // D x N, negative
  Matrix<Number> b, c;      // T x N, shared by all channels
  Vector<Number> skip;      // D
  Matrix<Number> z;         // T x D; empty: no gate
};

template <class Number>
struct SelectiveScanResult {
  Matrix<Number> output;                     // T x D
  std::vector<Matrix<Number>> chunk_states;  // D x N at the end of every chunk; the serial form has one, the last
};

// out = y silu(z).
template <class Number>
Matrix<Number> gated(const Matrix<Number>& y, const Matrix<Number>& z) {
  if (z.size() == 0) return y;
  return y.cwiseProduct(elementwise(z, silu<Number>));
}

// The definition, token by token. Per token D (6 N + 2) FLOP and D N exponentials, without the gate.
template <class Number>
SelectiveScanResult<Number> selective_scan_serial(const SelectiveScan<Number>& in) {
  using std::exp;
  Matrix<Number> h = Matrix<Number>::Zero(in.a.rows(), in.a.cols()), y(in.u.rows(), in.u.cols());
  for (Eigen::Index t = 0; t < y.rows(); ++t) {
    for (Eigen::Index d = 0; d < y.cols(); ++d) {
      const Number input = in.delta(t, d) * in.u(t, d);
      y(t, d) = in.skip(d) * in.u(t, d);
      for (Eigen::Index n = 0; n < h.cols(); ++n) {
        h(d, n) = exp(in.delta(t, d) * in.a(d, n)) * h(d, n) + input * in.b(t, n);
        y(t, d) += in.c(t, n) * h(d, n);
      }
    }
  }
  return {gated(y, in.z), {h}};
}

// As the CUDA kernel runs it: a channel walks the sequence in chunks of threads x items; inside a chunk it takes the
// states one after another, each a block scan of (2^{Delta A log2 e}, Delta B u) whose running prefix waits in shared
// memory for the next chunk. The prefixes at chunk ends are what is saved for the backward pass.
template <class Number>
SelectiveScanResult<Number> selective_scan_blocked(const SelectiveScan<Number>& in, std::size_t threads,
                                                   std::size_t items) {
  const Eigen::Index tokens = in.u.rows(), chunk = Eigen::Index(threads * items), states = in.a.cols();
  Matrix<Number> y = in.u * in.skip.asDiagonal();
  std::vector<Matrix<Number>> ends(std::size_t((tokens + chunk - 1) / chunk), Matrix<Number>(in.a.rows(), states));
  for (Eigen::Index d = 0; d < y.cols(); ++d) {
    std::vector<ScanPair<Number>> prefixes{std::size_t(states)};
    for (Eigen::Index first = 0; first < tokens; first += chunk) {
      for (Eigen::Index n = 0; n < states; ++n) {
        const Number rate = in.a(d, n) * Number(1.4426950408889634);  // log2 e: the hardware's exponential has base 2
        std::vector<ScanPair<Number>> pairs;
        for (Eigen::Index t = first; t < std::min(first + chunk, tokens); ++t) {
          pairs.push_back({std::exp2(in.delta(t, d) * rate), in.delta(t, d) * in.u(t, d) * in.b(t, n)});
        }
        ScanPair<Number>& prefix = prefixes[std::size_t(n)];
        block_scan(pairs, items, prefix);
        for (std::size_t i = 0; i < pairs.size(); ++i) {
          const Eigen::Index t = first + Eigen::Index(i);
          y(t, d) += pairs[i].b * in.c(t, n);
        }
        ends[std::size_t(first / chunk)](d, n) = prefix.b;
      }
    }
  }
  return {gated(y, in.z), ends};
}

// Gradients of sum(output o output_gradient) with respect to every input, in the same layout. States are recomputed
// inside each chunk from `chunk_states`, those at the chunk ends that the forward pass with this chunk length saved.
SelectiveScan<double> selective_scan_backward(const SelectiveScan<double>& in,
                                              const std::vector<Matrix<double>>& chunk_states, Eigen::Index chunk,
                                              const Matrix<double>& output_gradient);

}  // namespace lightcone::models::reference
