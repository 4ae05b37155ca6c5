// SPDX-License-Identifier: Apache-2.0
#include "models/reference/min_gru.h"

namespace lightcone::models::reference {

Matrix<double> min_gru_log_space(const MinGruInputs<double>& in, const Vector<double>& initial) {
  Matrix<double> h(in.z.rows(), in.z.cols());
  for (Eigen::Index d = 0; d < h.cols(); ++d) {
    double a_sum = 0, top = std::log(initial(d)), sum = 1;  // sum e^{top} over what came so far
    for (Eigen::Index t = 0; t < h.rows(); ++t) {
      a_sum += log_sigmoid(-in.z(t, d));
      const double term = log_sigmoid(in.z(t, d)) + std::log(in.h(t, d)) - a_sum, next = std::max(top, term);
      sum = sum * std::exp(top - next) + std::exp(term - next);
      top = next;
      h(t, d) = std::exp(a_sum + top + std::log(sum));
    }
  }
  return h;
}

}  // namespace lightcone::models::reference
