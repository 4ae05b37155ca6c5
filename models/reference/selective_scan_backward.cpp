// SPDX-License-Identifier: Apache-2.0
#include "models/reference/selective_scan.h"

namespace lightcone::models::reference {

namespace {

// What the chunks share, from the last to the first.
struct Walk {
  const SelectiveScan<double>& in;
  SelectiveScan<double>& gradients;
  Matrix<double> carried;  // D x N: the gradient of h from later tokens
};

// Channel d over tokens first .. first + rows, from the state before them. y_gradient: T x D, before the gate.
void channel_backward(Walk& walk, Eigen::Index d, Eigen::Index first, Eigen::Index rows, const Vector<double>& before,
                      const Matrix<double>& y_gradient, Matrix<double>& y) {
  const SelectiveScan<double>& in = walk.in;
  SelectiveScan<double>& g = walk.gradients;
  for (Eigen::Index n = 0; n < in.a.cols(); ++n) {
    Vector<double> h(rows + 1), keep(rows);
    h(0) = before(n);
    for (Eigen::Index i = 0; i < rows; ++i) {
      const Eigen::Index t = first + i;
      keep(i) = std::exp(in.delta(t, d) * in.a(d, n));
      h(i + 1) = keep(i) * h(i) + in.delta(t, d) * in.u(t, d) * in.b(t, n);
      y(t, d) += in.c(t, n) * h(i + 1);
    }
    double& d_h = walk.carried(d, n);
    for (Eigen::Index i = rows - 1; i >= 0; --i) {
      const Eigen::Index t = first + i;
      d_h += in.c(t, n) * y_gradient(t, d);
      g.c(t, n) += h(i + 1) * y_gradient(t, d);
      const double d_exponent = d_h * keep(i) * h(i);
      g.a(d, n) += d_exponent * in.delta(t, d);
      g.delta(t, d) += d_exponent * in.a(d, n) + d_h * in.u(t, d) * in.b(t, n);
      g.b(t, n) += d_h * in.delta(t, d) * in.u(t, d);
      g.u(t, d) += d_h * in.delta(t, d) * in.b(t, n);
      d_h *= keep(i);
    }
  }
}

}  // namespace

SelectiveScan<double> selective_scan_backward(const SelectiveScan<double>& in,
                                              const std::vector<Matrix<double>>& chunk_states, Eigen::Index chunk,
                                              const Matrix<double>& output_gradient) {
  const Eigen::Index tokens = in.u.rows();
  const Matrix<double> y_gradient = gated(output_gradient, in.z);
  SelectiveScan<double> g = in;
  for (Matrix<double>* m : {&g.delta, &g.a, &g.b, &g.c}) m->setZero();
  g.u = y_gradient * in.skip.asDiagonal();
  g.skip = y_gradient.cwiseProduct(in.u).colwise().sum();
  Matrix<double> y = in.u * in.skip.asDiagonal();
  Walk walk{in, g, Matrix<double>::Zero(in.a.rows(), in.a.cols())};
  for (Eigen::Index c = Eigen::Index(chunk_states.size()) - 1; c >= 0; --c) {
    const Eigen::Index first = c * chunk, rows = std::min(chunk, tokens - first);
    for (Eigen::Index d = 0; d < in.u.cols(); ++d) {
      const Vector<double> before =
          c > 0 ? Vector<double>(chunk_states[std::size_t(c - 1)].row(d)) : Vector<double>::Zero(in.a.cols());
      channel_backward(walk, d, first, rows, before, y_gradient, y);
    }
  }
  if (in.z.size() != 0) g.z = output_gradient.cwiseProduct(y).cwiseProduct(elementwise(in.z, silu_slope));
  return g;
}

}  // namespace lightcone::models::reference
