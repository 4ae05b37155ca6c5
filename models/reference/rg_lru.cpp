// SPDX-License-Identifier: Apache-2.0
#include "models/reference/rg_lru.h"

namespace lightcone::models::reference {

RgLruGates<double> rg_lru_gates(const RgLruWeights& weights, const Matrix<double>& x) {
  const auto gate = [&](const Matrix<double>& blocks, const Vector<double>& bias) {
    const Matrix<double> sum = block_diagonal_product(x, blocks).rowwise() + bias.transpose();
    return elementwise(sum, sigmoid<double>);
  };
  const Matrix<double> r = gate(weights.recurrence_gate, weights.recurrence_bias);
  const Vector<double> rate = -8 * weights.lambda.unaryExpr(&softplus);
  return {r * rate.asDiagonal(), gate(weights.input_gate, weights.input_bias).cwiseProduct(x)};
}

RgLruGates<double> rg_lru_backward(const RgLruGates<double>& gates, const Matrix<double>& h_gradient) {
  const RgLruCoefficients<double> c = rg_lru_coefficients(gates.log_a);
  const Matrix<double> h = scan_serial(c.a, Matrix<double>(c.multiplier.cwiseProduct(gates.gated)));
  const ScanGradients scan = scan_backward(c.a, h, Vector<double>::Zero(h.cols()), h_gradient);
  // b = sqrt(1 - a^2) gated: its derivative with respect to a is -a gated / sqrt(1 - a^2), zero at the reset.
  const Matrix<double> through_b = scan.b.array() * gates.gated.array() * (-c.a.array() / c.multiplier.array());
  return {c.a.cwiseProduct(scan.a + through_b), c.multiplier.cwiseProduct(scan.b)};
}

}  // namespace lightcone::models::reference
