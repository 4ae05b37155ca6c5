// SPDX-License-Identifier: Apache-2.0
// Matrix products as the chunked kernels run them: accumulation in the working precision, operands rounded first where
// a tensor core takes 16-bit values. With `Counted` a product of m x k and k x n counts exactly 2 m n k FLOP, which is
// how GEMM FLOPs are stated everywhere (the first addition, to zero, included).
#pragma once

#include "models/reference/matrix.h"
#include "models/reference/rounded.h"

namespace lightcone::models::reference {

// Operands as they are.
struct ExactOperands {
  template <class Number>
  Matrix<Number> operator()(Matrix<Number> values) const {
    return values;
  }
};

// Operands rounded to bf16 where they enter a tensor core; sums stay in fp32.
struct Bf16Operands {
  Matrix<float> operator()(const Matrix<float>& values) const { return rounded_to_bf16(values); }
};

// sum += a b.
template <class Number, class A, class B>
void add_product(Matrix<Number>& sum, const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b) {
  sum += a.eval().lazyProduct(b.eval());
}

// a b, in row-major order.
template <class A, class B>
Matrix<typename A::Scalar> product(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b) {
  Matrix<typename A::Scalar> sum = Matrix<typename A::Scalar>::Zero(a.rows(), b.cols());
  add_product(sum, a, b);
  return sum;
}

}  // namespace lightcone::models::reference
