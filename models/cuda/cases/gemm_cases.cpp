// SPDX-License-Identifier: Apache-2.0
// Matrix products: A and B in bf16, fp32 sums, C in bf16.
#include "models/cuda/cases/case_lists.h"

namespace lightcone::models::cuda {

namespace {

constexpr double kBf16Result = 3e-3;  // rounding to 8 significant bits has an rms of at most 2^-9 / sqrt(3) x sqrt(2)

Problem product_problem(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t k) {
  return {{{"a", Element::bf16, a}, {"b", Element::bf16, b, Fill::normal, 1 / std::sqrt(double(k))}},
          {{"c", Element::bf16, c, kBf16Result}}};
}

Problem gemm_problem(const Sizes& s, std::uint64_t) {
  return product_problem(s.at("m") * s.at("k"), s.at("n") * s.at("k"), s.at("m") * s.at("n"), s.at("k"));
}
std::vector<Values> gemm_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t m = s.at("m"), n = s.at("n"), k = s.at("k");
  Values c(std::size_t(m * n));
  put_matrix(c, 0, n, matrix_at(in[0], 0, m, k, k) * matrix_at(in[1], 0, n, k, k).transpose());
  return {c};
}

Problem batched_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t b = s.at("batch");
  return product_problem(b * s.at("m") * s.at("k"), b * s.at("n") * s.at("k"), b * s.at("m") * s.at("n"), s.at("k"));
}
std::vector<Values> batched_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t m = s.at("m"), n = s.at("n"), k = s.at("k");
  Values c(std::size_t(s.at("batch") * m * n));
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    put_matrix(c, b * m * n, n,
               matrix_at(in[0], b * m * k, m, k, k) * matrix_at(in[1], b * n * k, n, k, k).transpose());
  }
  return {c};
}

// Rows of the groups: every third one is empty, the others share the rows unevenly.
std::vector<std::int64_t> group_offsets(const Sizes& s) {
  const std::int64_t groups = s.at("groups"), rows = s.at("rows");
  std::vector<std::int64_t> offsets{0};
  std::int64_t weights = 0;
  for (std::int64_t g = 0; g < groups; ++g) weights += g % 3 == 1 ? 0 : g + 1;
  std::int64_t sum = 0;
  for (std::int64_t g = 0; g < groups; ++g) {
    sum += g % 3 == 1 ? 0 : g + 1;
    offsets.push_back(rows * sum / weights);
  }
  return offsets;
}
Problem grouped_problem(const Sizes& s, std::uint64_t) {
  Problem problem = product_problem(s.at("rows") * s.at("k"), s.at("groups") * s.at("n") * s.at("k"),
                                    s.at("rows") * s.at("n"), s.at("k"));
  InputSpec offsets{"offsets", Element::int32, s.at("groups") + 1, Fill::given};
  if (size_of(s, "m_per_group") != 0) {  // timed: equal groups
    for (std::int64_t g = 0; g <= s.at("groups"); ++g) offsets.values.push_back(double(g * s.at("m_per_group")));
  } else {
    for (const std::int64_t offset : group_offsets(s)) offsets.values.push_back(double(offset));
  }
  problem.inputs.push_back(offsets);
  return problem;
}
std::vector<Values> grouped_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t n = s.at("n"), k = s.at("k");
  Values c(std::size_t(s.at("rows") * n));
  for (std::int64_t g = 0; g < s.at("groups"); ++g) {
    const auto first = std::int64_t(in[2][std::size_t(g)]), rows = std::int64_t(in[2][std::size_t(g) + 1]) - first;
    if (rows == 0) continue;
    put_matrix(c, first * n, n,
               matrix_at(in[0], first * k, rows, k, k) * matrix_at(in[1], g * n * k, n, k, k).transpose());
  }
  return {c};
}

}  // namespace

std::vector<PrimitiveCases> gemm_cases() {
  return {
      {"gemm",
       {{{"m", 1}, {"n", 1}, {"k", 1}},
        {{"m", 5}, {"n", 7}, {"k", 33}},
        {{"m", 130}, {"n", 40}, {"k", 72}},
        {{"m", 128}, {"n", 136}, {"k", 192}}},
       {{{"m", 64}, {"n", 512}, {"k", 256}},
        {{"m", 384}, {"n", 257}, {"k", 520}},
        {{"m", 512}, {"n", 512}, {"k", 512}}},
       gemm_problem,
       gemm_truth},
      {"batched_gemm",
       {{{"batch", 3}, {"m", 17}, {"n", 24}, {"k", 40}}},
       {{{"batch", 16}, {"m", 128}, {"n", 96}, {"k", 200}}},
       batched_problem,
       batched_truth},
      {"grouped_gemm",
       {{{"groups", 5}, {"rows", 150}, {"most_rows", 150}, {"n", 24}, {"k", 40}}},
       {{{"groups", 8}, {"rows", 1000}, {"most_rows", 1000}, {"n", 192}, {"k", 256}}},
       grouped_problem,
       grouped_truth},
  };
}

}  // namespace lightcone::models::cuda
