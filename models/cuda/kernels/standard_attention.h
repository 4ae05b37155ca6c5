// SPDX-License-Identifier: Apache-2.0
// Attention as written: scores of all pairs to memory, softmax of each row, product with the values. Three kernels.
#pragma once

#include <cmath>

#include "models/cuda/kernels/gemm.h"
#include "models/cuda/kernels/rows.h"

namespace lightcone::models::cuda {

// q [batch, q_len, heads, d], k, v [batch, kv_len, kv_heads, d] -> o as q; causal and window as sizes.
template <class Run>
void attention_standard(Run& run, const Arguments& args) {
  const int batch = args.size("batch"), heads = args.size("heads"), kv_heads = args.size("kv_heads"),
            q_len = args.size("q_len"), kv_len = args.size("kv_len"), d = args.size("head_dim");
  check_row(kv_len);
  const auto pairs =
      static_cast<std::size_t>(batch * heads) * static_cast<std::size_t>(q_len) * static_cast<std::size_t>(kv_len);
  float* scores = run.template scratch<float>(pairs);
  Bf16* weights = run.template scratch<Bf16>(pairs);
  const std::int64_t q_rows = q_len, kv_rows = kv_len;

  GemmParams qk{args.input<Bf16>(0), args.input<Bf16>(1), scores, q_len, kv_len, d, heads * d, kv_heads * d, kv_len};
  qk.inner = heads;
  qk.b_share = heads / kv_heads;
  qk.a_outer = q_rows * heads * d;
  qk.a_inner = qk.b_inner = d;
  qk.b_outer = kv_rows * kv_heads * d;
  qk.c_outer = heads * q_rows * kv_rows;
  qk.c_inner = q_rows * kv_rows;
  qk.aligned = d % 8 == 0;
  using Scores = Gemm<Depth::along_rows, float>;
  run.template launch<Scores>({ceil_div(kv_len, Scores::kN), ceil_div(q_len, Scores::kM), batch * heads}, qk);

  const float scale = 1.0F / std::sqrt(static_cast<float>(d));
  run.template launch<RowSoftmax<float>>(
      {q_len, batch * heads}, {scores, weights, kv_len, args.size("causal") != 0, args.size("window"), q_len, scale});

  GemmParams pv{weights, args.input<Bf16>(2), args.output<Bf16>(0), q_len, d, kv_len, kv_len, kv_heads * d, heads * d};
  pv.inner = heads;
  pv.b_share = heads / kv_heads;
  pv.a_outer = qk.c_outer;
  pv.a_inner = qk.c_inner;
  pv.b_outer = qk.b_outer;
  pv.b_inner = pv.c_inner = d;
  pv.c_outer = qk.a_outer;
  pv.aligned = d % 8 == 0 && kv_len % 8 == 0;
  using Product = Gemm<Depth::across_rows, Bf16>;
  run.template launch<Product>({ceil_div(d, Product::kN), ceil_div(q_len, Product::kM), batch * heads}, pv);
}

}  // namespace lightcone::models::cuda
