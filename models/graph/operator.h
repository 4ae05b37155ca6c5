// SPDX-License-Identifier: Apache-2.0
// The operators of a model graph: what is computed, in which sizes and number formats, and its exact cost. An operator
// knows nothing of hardware; scenarios/mapping turns it into kernels.
//
// Cost conventions: 1 FMA = 2 FLOP; bytes are the compulsory ones, each input read once and each output written once
// (what an ideal cache would move); causal attention counts the unmasked pairs exactly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/base/number_format.h"
#include "sim/base/units.h"

namespace lightcone::models {

// C[m,n] = A[m,k] x W[k,n] (+ bias). `weights_are_static`: W is a model parameter (read from HBM, not produced by the
// previous kernel).
struct Gemm {
  std::uint64_t m = 0, n = 0, k = 0;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat weight = NumberFormat::bf16;
  NumberFormat output = NumberFormat::bf16;
  bool weights_are_static = true;
  bool bias = false;
};

// `batch` independent products C[b,m,n] = A[b,m,k] x B[b,k,n].
struct BatchedGemm {
  std::uint64_t batch = 0, m = 0, n = 0, k = 0;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat weight = NumberFormat::bf16;
  NumberFormat output = NumberFormat::bf16;
};

// softmax(Q K^T / sqrt(d)) V. Shapes: Q[batch, q_len, heads, head_dim], K and V[batch, kv_len, kv_heads, head_dim].
// Causal: query i of a sequence sees keys 0 .. kv_len - q_len + i. window > 0: only the last `window` of them.
struct Attention {
  std::uint64_t batch = 0, heads = 0, kv_heads = 0, q_len = 0, kv_len = 0, head_dim = 0;
  bool causal = true;
  std::uint64_t window = 0;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat kv = NumberFormat::bf16;
  bool paged = false;            // K and V come from a paged cache
  bool writes_kv_cache = false;  // the operator also appends this step's K and V to the cache (validation data does)
};

enum class NormKind : std::uint8_t { rms, layer };

// y = norm(x) * weight over rows of `columns`; with `residual`, first r = x + r (r read and written).
struct Norm {
  NormKind kind = NormKind::rms;
  std::uint64_t rows = 0, columns = 0;
  bool residual = false;
  NumberFormat format = NumberFormat::bf16;
};

struct Softmax {
  std::uint64_t rows = 0, columns = 0;
  NumberFormat format = NumberFormat::bf16;
};

enum class ElementwiseKind : std::uint8_t {
  add,       // 2 inputs, 1 output
  mul,       // 2 inputs, 1 output
  scale,     // 1 input, 1 output (multiply or add a constant)
  silu_mul,  // gate and up halves in, 1 output: silu(gate) * up
  gelu_mul,  // the same with gelu
  gelu,      // 1 input, 1 output
  relu,
  tanh,
  pow,     // 1 input, 1 output, exponent constant
  divide,  // 2 inputs
  copy,
  quantize,  // 1 input in `input`, 1 output in `output`, one static scale
};

// `elements` outputs; inputs as the kind says.
struct Elementwise {
  ElementwiseKind kind = ElementwiseKind::add;
  std::uint64_t elements = 0;
  NumberFormat input = NumberFormat::bf16;
  NumberFormat output = NumberFormat::bf16;
  std::uint64_t row = 0;  // elements of one row of the output, for kernels that go row by row; 0: one long row
  // Quantisation whose scale is found at run time, from the largest absolute value of the whole tensor.
  bool dynamic_scale = false;
};

// Rotary position embedding on the first `rotary_dim` values of each head of Q and K in place, and append of K and V to
// the KV cache when `writes_kv_cache`. rotary_dim 0: the append alone (models with learned positions).
struct Rotary {
  std::uint64_t tokens = 0, heads = 0, kv_heads = 0, head_dim = 0, rotary_dim = 0;
  bool writes_kv_cache = true;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat kv = NumberFormat::bf16;
};

// rows[tokens] of a table[vocabulary, columns]; with `positions`, a second table is added (learned positions).
struct EmbeddingGather {
  std::uint64_t tokens = 0, vocabulary = 0, columns = 0;
  bool positions = false;
  NumberFormat format = NumberFormat::bf16;
};

// Every operator kind. cost() and the mapping visit all of them: a new kind does not compile until both know it.
using Operator = std::variant<Gemm, BatchedGemm, Attention, Norm, Softmax, Elementwise, Rotary, EmbeddingGather>;

struct Cost {
  Flops matrix_flops;         // on the tensor core
  Flops vector_flops;         // everything else that the formula counts
  std::uint64_t special = 0;  // exp, rsqrt, tanh, ...
  Bytes weight_bytes;         // parameters read
  Bytes read_bytes;           // activations and state read
  Bytes written_bytes;        // activations and state written

  [[nodiscard]] Flops flops() const { return matrix_flops + vector_flops; }
  [[nodiscard]] Bytes bytes() const { return weight_bytes + read_bytes + written_bytes; }
};

// Exact cost by the defining formula. Throws ConfigError when a size is zero or a product does not fit 63 bits.
Cost cost(const Operator& op);

// "gemm", "attention", ...: the kind's name in reports and CSV.
std::string kind_name(const Operator& op);

// "silu_mul", "add", ...
std::string_view name(ElementwiseKind kind);

struct OperatorKind {
  std::string name;     // what kind_name() gives
  std::string meaning;  // one line
};

// Every name that kind_name() can give, in the order of the variant, with its meaning: `lightcone list ops`.
std::vector<OperatorKind> operator_kinds();

// Unmasked (query, key) pairs of one head of one sequence.
std::uint64_t attended_pairs(std::uint64_t q_len, std::uint64_t kv_len, bool causal, std::uint64_t window);

}  // namespace lightcone::models
