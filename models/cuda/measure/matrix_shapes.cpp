// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/measure/op_shapes.h"

namespace lightcone::models::cuda {

namespace {

double product_flops(double m, double n, double k) { return 2 * m * n * k; }
double product_bytes(double m, double n, double k) { return 2 * (m * k + n * k + m * n); }

TimedShape gemm(std::int64_t m, std::int64_t n, std::int64_t k, bool quick) {
  return {"gemm",
          "bf16",
          {{"m", m}, {"n", n}, {"k", k}},
          "gemm",
          {{"m", m}, {"n", n}, {"k", k}},
          {"gemm_wgmma", "gemm_cublas"},
          product_flops(double(m), double(n), double(k)),
          product_bytes(double(m), double(n), double(k)),
          quick};
}

}  // namespace

std::vector<TimedShape> matrix_shapes() {
  std::vector<TimedShape> list;
  // n, k of Llama-3-8B (QKV, output, gate and up, down), Llama-3-70B over 8 GPUs, and a square.
  const std::int64_t layers[][2] = {{4096, 4096}, {6144, 4096}, {28672, 4096}, {4096, 14336}, {1280, 8192},
                                    {8192, 1024}, {7168, 8192}, {8192, 3584},  {8192, 8192}};
  for (const auto& [n, k] : layers) {
    for (const std::int64_t m : {1, 8, 16, 32, 64, 128, 192, 256, 512, 1024, 2048, 4096, 8192}) {
      const bool quick = (n == 4096 || n == 6144) && (m == 16 || m == 128 || m == 1024 || m == 4096);
      list.push_back(gemm(m, n, k, quick));
    }
  }
  const std::int64_t batches[][4] = {
      {16, 128, 128, 512}, {64, 512, 512, 128}, {32, 1024, 1024, 64}, {128, 64, 512, 128}, {256, 128, 128, 64}};
  for (const auto& [batch, m, n, k] : batches) {
    list.push_back({"bmm",
                    "bf16",
                    {{"batch", batch}, {"m", m}, {"n", n}, {"k", k}},
                    "batched_gemm",
                    {{"batch", batch}, {"m", m}, {"n", n}, {"k", k}},
                    {"batched_gemm_cublas"},
                    double(batch) * product_flops(double(m), double(n), double(k)),
                    double(batch) * product_bytes(double(m), double(n), double(k)),
                    batch == 64});
  }
  // Groups of DeepSeek-V3 and Mixtral.
  const std::int64_t groups[][4] = {
      {8, 512, 14336, 4096}, {8, 64, 4096, 14336}, {32, 128, 4096, 7168}, {32, 16, 4096, 7168}, {16, 1024, 2048, 2048}};
  for (const auto& [g, m, n, k] : groups) {
    list.push_back({"grouped_gemm",
                    "bf16",
                    {{"groups", g}, {"m_per_group", m}, {"n", n}, {"k", k}},
                    "grouped_gemm",
                    {{"groups", g}, {"m_per_group", m}, {"rows", g * m}, {"most_rows", m}, {"n", n}, {"k", k}},
                    {},
                    double(g) * product_flops(double(m), double(n), double(k)),
                    double(g) * product_bytes(double(m), double(n), double(k)),
                    g == 16});
  }
  return list;
}

}  // namespace lightcone::models::cuda
