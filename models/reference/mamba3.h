// SPDX-License-Identifier: Apache-2.0
// Mamba-3 (single input): a trapezoidal rule, so that a token's update also holds the token before it, and a state that
// rotates by data-dependent angles: S_t = alpha_t R(theta_t) (S_{t-1} + (1 - lambda_t) Delta_t k_{t-1} v_{t-1}^T) +
// lambda_t Delta_t k_t v_t^T, o_t = S_t^T q_t, alpha = e^{Delta A} (Lahoti et al. 2026, arXiv 2603.15569;
// state-spaces/mamba modules/mamba3.py). R rotates each pair of key channels. One head; rows are tokens.
#pragma once

#include <complex>
#include <vector>

#include "models/reference/linear_attention.h"

namespace lightcone::models::reference {

template <class Number>
struct Mamba3Head {
  Matrix<Number> q, k, v;   // T x N, T x N, T x P; N even
  Vector<Number> delta, a;  // T: step, and the rate A < 0 (data-dependent)
  Vector<Number> lambda;    // T: weight of the present token, in (0, 1); 1 is Mamba-2's rule
  Matrix<Number> angles;    // T x N/2: theta, the turn of each pair at each token
};

// The definition with complex states, one per pair of key channels: a pair (k_2n, k_2n+1) is k_2n + i k_2n+1 and turns
// by e^{i theta}. T x P.
Matrix<double> mamba3_complex(const Mamba3Head<double>& head);

// Rows with each pair turned back by the angles summed up to that token, modulo 2 pi: products of two such rows are
// those of one row with the other turned by the angles between them (the rotary trick; section 3.2 of the paper).
template <class Number>
Matrix<Number> turned_back(const Matrix<Number>& rows, const Matrix<Number>& angles) {
  Matrix<Number> turned(rows.rows(), rows.cols());
  const double circle = 6.283185307179586;
  for (Eigen::Index n = 0; n < angles.cols(); ++n) {
    Number sum(0);
    for (Eigen::Index t = 0; t < rows.rows(); ++t) {
      sum = std::remainder(sum + angles(t, n), Number(circle));
      const Number x = rows(t, 2 * n), y = rows(t, 2 * n + 1), c = std::cos(sum), s = std::sin(sum);
      turned(t, 2 * n) = c * x + s * y;
      turned(t, 2 * n + 1) = c * y - s * x;
    }
  }
  return turned;
}

// State at decode: beside S also the last key and value. 7 N P FLOP a token, and 2 N + 3 for the weights.
template <class Number>
struct Mamba3State {
  Matrix<Number> s;               // N x P, in turned-back coordinates
  Matrix<Number> last_k, last_v;  // 1 x N, 1 x P

  // q and k turned back, 1 x N; v 1 x P. Returns 1 x P.
  Matrix<Number> step(const Matrix<Number>& q, const Matrix<Number>& k, const Matrix<Number>& v, const Number& alpha,
                      const Number& delta, const Number& lambda) {
    const Number now = lambda * delta, before = delta - now;
    s *= alpha;
    add_product(s, (last_k * (before * alpha)).transpose(), last_v);
    add_product(s, (k * now).transpose(), v);
    last_k = k;
    last_v = v;
    return product(q, s);
  }
};

template <class Number>
Matrix<Number> mamba3_recurrent(const Mamba3Head<Number>& head) {
  using std::exp;
  const Matrix<Number> q = turned_back(head.q, head.angles), k = turned_back(head.k, head.angles);
  Mamba3State<Number> state{Matrix<Number>::Zero(k.cols(), head.v.cols()), Matrix<Number>::Zero(1, k.cols()),
                            Matrix<Number>::Zero(1, head.v.cols())};
  Matrix<Number> output(head.v.rows(), head.v.cols());
  for (Eigen::Index t = 0; t < head.v.rows(); ++t) {
    output.row(t) =
        state.step(q.row(t), k.row(t), head.v.row(t), exp(head.delta(t) * head.a(t)), head.delta(t), head.lambda(t));
  }
  return output;
}

// Token j weighs lambda_j Delta_j + (1 - lambda_{j+1}) Delta_{j+1} for all later tokens, but only lambda_j Delta_j for
// itself. `next(j)` is the second part, zero for the last token.
template <class Number>
Vector<Number> mamba3_next_weights(const Mamba3Head<Number>& head) {
  Vector<Number> next = Vector<Number>::Zero(head.delta.size());
  for (Eigen::Index j = 0; j + 1 < next.size(); ++j) next(j) = (Number(1) - head.lambda(j + 1)) * head.delta(j + 1);
  return next;
}

// The chunk form: linear attention with one decay over keys that carry both weights, less the second on the diagonal.
// GEMMs as there, 2C(N + P) + 4 N P FLOP per token.
template <class Number, class Operands = ExactOperands>
Matrix<Number> mamba3_chunked(const Mamba3Head<Number>& head, Eigen::Index chunk, Operands operand = {}) {
  const Vector<Number> next = mamba3_next_weights(head), now = head.lambda.cwiseProduct(head.delta), both = now + next;
  const Matrix<Number> q = turned_back(head.q, head.angles), k = turned_back(head.k, head.angles);
  const LinearHead<Number> linear{q, both.asDiagonal() * k, head.v, head.delta.cwiseProduct(head.a), {}};
  Matrix<Number> output = linear_attention_chunked(linear, chunk, operand).output;
  for (Eigen::Index t = 0; t < output.rows(); ++t) output.row(t) -= head.v.row(t) * (next(t) * q.row(t).dot(k.row(t)));
  return output;
}

// The quadratic form, every weight written out.
Matrix<double> mamba3_quadratic(const Mamba3Head<double>& head);

}  // namespace lightcone::models::reference
