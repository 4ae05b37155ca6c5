// SPDX-License-Identifier: Apache-2.0
// The cases of each group of primitives, and views of their values as matrices of the reference.
#pragma once

#include "models/cuda/cases/problem.h"
#include "models/reference/matrix.h"

namespace lightcone::models::cuda {

std::vector<PrimitiveCases> gemm_cases();
std::vector<PrimitiveCases> attention_cases();
std::vector<PrimitiveCases> row_cases();
std::vector<PrimitiveCases> recurrent_cases();
std::vector<PrimitiveCases> selection_cases();

using DoubleMatrix = reference::Matrix<double>;
using DoubleVector = reference::Vector<double>;
using reference::Vector;

// rows x columns from `first` on, with `stride` values from row to row.
inline DoubleMatrix matrix_at(const Values& values, std::int64_t first, std::int64_t rows, std::int64_t columns,
                              std::int64_t stride) {
  using Strided = Eigen::Map<const DoubleMatrix, 0, Eigen::OuterStride<>>;
  return Strided(values.data() + first, rows, columns, Eigen::OuterStride<>(stride));
}
inline void put_matrix(Values& values, std::int64_t first, std::int64_t stride, const DoubleMatrix& matrix) {
  using Strided = Eigen::Map<DoubleMatrix, 0, Eigen::OuterStride<>>;
  Strided(values.data() + first, matrix.rows(), matrix.cols(), Eigen::OuterStride<>(stride)) = matrix;
}
inline std::int64_t size_of(const Sizes& sizes, const char* name) {
  const auto found = sizes.find(name);
  return found == sizes.end() ? 0 : found->second;
}

}  // namespace lightcone::models::cuda
