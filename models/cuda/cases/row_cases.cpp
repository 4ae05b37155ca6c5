// SPDX-License-Identifier: Apache-2.0
// Softmax and norms of rows: bf16 in and out.
#include "models/cuda/cases/case_lists.h"
#include "models/reference/moe.h"
#include "models/reference/norms.h"

namespace lightcone::models::cuda {

namespace {

constexpr double kBf16Result = 3e-3;
constexpr double kEpsilon = 1e-5;

template <int kParameters>
Problem row_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t m = s.at("m"), n = s.at("n");
  Problem problem{{{"in", Element::bf16, m * n, Fill::normal, 2}}, {{"out", Element::bf16, m * n, kBf16Result}}};
  if (kParameters > 0) problem.inputs.push_back({"weight", Element::bf16, n});
  if (kParameters > 1) problem.inputs.push_back({"bias", Element::bf16, n});
  return problem;
}

template <class Each>
std::vector<Values> by_rows(const Sizes& s, const Values& in, const Each& each) {
  const std::int64_t m = s.at("m"), n = s.at("n");
  Values out(in.size());
  for (std::int64_t i = 0; i < m; ++i) {
    const DoubleVector row = each(DoubleVector(matrix_at(in, i * n, 1, n, n).transpose()));
    put_matrix(out, i * n, n, row.transpose());
  }
  return {out};
}
DoubleVector vector_of(const Values& values) { return matrix_at(values, 0, std::ssize(values), 1, 1); }

std::vector<Values> softmax_truth(const Sizes& s, const std::vector<Values>& in) {
  return by_rows(s, in[0], [](const DoubleVector& row) { return reference::softmax<double>(row); });
}
std::vector<Values> rmsnorm_truth(const Sizes& s, const std::vector<Values>& in) {
  return by_rows(s, in[0],
                 [&](const DoubleVector& row) { return reference::rms_norm(row, vector_of(in[1]), kEpsilon); });
}
std::vector<Values> layernorm_truth(const Sizes& s, const std::vector<Values>& in) {
  return by_rows(s, in[0], [&](const DoubleVector& row) {
    return reference::layer_norm(row, vector_of(in[1]), vector_of(in[2]), kEpsilon);
  });
}

}  // namespace

std::vector<PrimitiveCases> row_cases() {
  const std::vector<Sizes> small{{{"m", 1}, {"n", 1}}, {{"m", 3}, {"n", 77}}, {{"m", 2}, {"n", 4104}}};
  const std::vector<Sizes> large{{{"m", 33}, {"n", 1000}}, {{"m", 20}, {"n", 8192}}, {{"m", 4}, {"n", 16384}}};
  return {{"softmax", small, large, row_problem<0>, softmax_truth},
          {"rmsnorm", small, large, row_problem<1>, rmsnorm_truth},
          {"layernorm", small, large, row_problem<2>, layernorm_truth}};
}

}  // namespace lightcone::models::cuda
