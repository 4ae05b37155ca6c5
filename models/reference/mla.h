// SPDX-License-Identifier: Apache-2.0
// Multi-head latent attention (DeepSeek-V2, 2024; DeepSeek-V3.2-Exp inference/model.py): keys and values of all heads
// come from one latent vector per token, plus one key part with RoPE that all heads share. Plain: expand K and V per
// head (prefill, "MHA mode"). Absorbed: multiply W_UK into the query and W_UV into the output, and attend to the
// latents themselves with one kv head (decode, "MQA mode"). The projections that make the latents are plain GEMMs, not
// here.
#pragma once

#include "models/reference/flash_attention.h"
#include "models/reference/gemm.h"
#include "models/reference/rope.h"

namespace lightcone::models::reference {

template <class Number>
struct MlaInputs {
  Matrix<Number> q_nope;             // [queries, heads d_nope]
  Matrix<Number> q_rope;             // [queries, heads d_rope], not yet rotated
  Matrix<Number> latent;             // [keys, d_c], normalised: the cache
  Matrix<Number> k_rope;             // [keys, d_rope], not yet rotated
  std::vector<Matrix<Number>> w_uk;  // of each head [d_nope, d_c]
  std::vector<Matrix<Number>> w_uv;  // of each head [d_c, d_v]
  [[nodiscard]] Index heads() const { return std::ssize(w_uk); }
  [[nodiscard]] double scale() const {
    return 1 / std::sqrt(static_cast<double>((q_nope.cols() + q_rope.cols()) / heads()));
  }
};

// RoPE part of head n of the queries, which are the last of the key positions.
template <class Number>
Matrix<Number> mla_rotated_query(const MlaInputs<Number>& in, Index n) {
  const Index d = in.k_rope.cols();
  return rotated_by_position<Number>(in.q_rope.middleCols(n * d, d), in.latent.rows() - in.q_rope.rows(),
                                     RopeLayout::neighbours, d);
}

// Plain: outputs [queries, heads d_v].
template <class Number>
Matrix<Number> mla_attention(const MlaInputs<Number>& in, const Mask& mask) {
  const Index dn = in.q_nope.cols() / in.heads(), dr = in.k_rope.cols(), dv = in.w_uv[0].cols();
  const Matrix<Number> k_rope = rotated_by_position(in.k_rope, 0, RopeLayout::neighbours, dr);
  Matrix<Number> output(in.q_nope.rows(), in.heads() * dv), q(in.q_nope.rows(), dn + dr), k(in.latent.rows(), dn + dr);
  for (Index n = 0; n < in.heads(); ++n) {
    const Matrix<Number> w_uk = in.w_uk[static_cast<std::size_t>(n)].transpose();
    q << in.q_nope.middleCols(n * dn, dn), mla_rotated_query(in, n);
    k << product(in.latent, w_uk), k_rope;
    const Matrix<Number> v = product(in.latent, in.w_uv[static_cast<std::size_t>(n)]);
    output.middleCols(n * dv, dv) = attention(q, k, v, mask, {.scale = in.scale()}).output;
  }
  return output;
}

// Absorbed: q W_UK against the latents and the shared RoPE key; the attended latents times W_UV. `attend_latents(q, k,
// v, options)` is the attention over the cache, q[queries, d_c + d_rope] of one head, k[keys, d_c + d_rope], v[keys,
// d_c].
template <class Number, class AttendLatents>
Matrix<Number> mla_absorbed(const MlaInputs<Number>& in, const AttendLatents& attend_latents) {
  const Index dn = in.q_nope.cols() / in.heads(), dr = in.k_rope.cols(), dc = in.latent.cols(), dv = in.w_uv[0].cols();
  Matrix<Number> output(in.q_nope.rows(), in.heads() * dv), q(in.q_nope.rows(), dc + dr), k(in.latent.rows(), dc + dr);
  k << in.latent, rotated_by_position(in.k_rope, 0, RopeLayout::neighbours, dr);
  for (Index n = 0; n < in.heads(); ++n) {
    const Matrix<Number> q_nope = in.q_nope.middleCols(n * dn, dn);
    q << product(q_nope, in.w_uk[static_cast<std::size_t>(n)]), mla_rotated_query(in, n);
    const Attended<Number> attended = attend_latents(q, k, in.latent, AttentionOptions{.scale = in.scale()});
    output.middleCols(n * dv, dv) = product(attended.output, in.w_uv[static_cast<std::size_t>(n)]);
  }
  return output;
}

}  // namespace lightcone::models::reference
