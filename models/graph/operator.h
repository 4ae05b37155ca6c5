// SPDX-License-Identifier: Apache-2.0
// The operators of a model graph: what is computed, in which sizes and number formats, and its exact cost. An operator
// knows nothing of hardware; scenarios/mapping turns it into kernels.
//
// Cost conventions: 1 FMA = 2 FLOP; bytes are the compulsory ones, each input read once and each output written once
// (what an ideal cache would move); causal attention counts the unmasked pairs exactly.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "models/graph/communication.h"
#include "models/graph/key_pattern.h"
#include "models/graph/training_operators.h"
#include "sim/base/number_format.h"
#include "sim/base/units.h"

namespace lightcone::models {

// C[m,n] = A[m,k] x W[k,n] (+ bias). `weights_are_static`: W is a model parameter (read from HBM, not produced by the
// previous kernel). In memory A is [m,k] and W [n,k]; transposed, A is [k,m] and W [k,n].
// Backward: dA = dC W is a GEMM with W transposed; dW = dC^T A one with both transposed, whose second operand the
// forward pass saved.
struct Gemm {
  std::uint64_t m = 0, n = 0, k = 0;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat weight = NumberFormat::bf16;
  NumberFormat output = NumberFormat::bf16;
  bool weights_are_static = true;
  bool bias = false;
  bool activation_transposed = false, weight_transposed = false;
  bool accumulates = false;  // C += ...: what C holds is read
};

// `batch` independent products C[b,m,n] = A[b,m,k] x B[b,k,n], in memory as written; transposed, A is [b,k,m] and B
// [b,n,k].
struct BatchedGemm {
  std::uint64_t batch = 0, m = 0, n = 0, k = 0;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat weight = NumberFormat::bf16;
  NumberFormat output = NumberFormat::bf16;
  bool weights_are_static = false;  // B is a model parameter: one matrix per head (absorbed MLA)
  bool activation_transposed = false, weight_transposed = false;
  bool accumulates = false;  // C += ...
};

// softmax(Q K^T / sqrt(d)) V. Shapes: Q[batch, q_len, heads, head_dim], K[batch, kv_len, kv_heads, head_dim] and
// V[batch, kv_len, kv_heads, value_dim].
// Causal: query i of a sequence sees keys 0 .. kv_len - q_len + i. window > 0: only the last `window` of them.
struct Attention {
  std::uint64_t batch = 0, heads = 0, kv_heads = 0, q_len = 0, kv_len = 0, head_dim = 0;
  bool causal = true;
  std::uint64_t window = 0;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat kv = NumberFormat::bf16;
  bool paged = false;            // K and V come from a paged cache
  bool writes_kv_cache = false;  // the operator also appends this step's K and V to the cache (validation data does)
  std::uint64_t value_dim = 0;   // 0: head_dim
  bool values_in_keys = false;   // V is the first value_dim values of K (absorbed MLA): read once
  std::optional<NumberFormat> query = {};   // of Q, where it comes in another format than the activations
  std::optional<NumberFormat> output = {};  // of O, the same
  [[nodiscard]] std::uint64_t v_dim() const { return value_dim == 0 ? head_dim : value_dim; }
  [[nodiscard]] NumberFormat q_format() const { return query.value_or(activation); }
  [[nodiscard]] NumberFormat o_format() const { return output.value_or(activation); }
};

// Attention to some of the keys: of each query those that `keys` names. Shapes as of Attention. The last query stands
// at position tokens - 1, where tokens is kv_len unless given (compressed keys are fewer than the tokens).
struct SparseAttention {
  std::uint64_t batch = 0, heads = 0, kv_heads = 0, q_len = 0, kv_len = 0, head_dim = 0;
  KeyPattern keys;
  bool causal = true;
  std::uint64_t tokens = 0;
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat kv = NumberFormat::bf16;
  bool paged = false;
  std::uint64_t value_dim = 0;  // 0: head_dim
  // Scores alone, to choose keys by: one fp32 value per query and block of so many tokens, the sum of the probabilities
  // (with lists per query: over the heads of a KV head) or the largest score; 0: attention.
  std::uint64_t scored_block = 0;
  [[nodiscard]] std::uint64_t v_dim() const { return value_dim == 0 ? head_dim : value_dim; }
};

enum class NormKind : std::uint8_t { rms, layer };

// y = norm(x) * weight over rows of `columns`; with `residual`, first r = x + r (r read and written); with `gated`, y
// is norm(x * silu(z)) * weight for a second input z (Mamba-2).
struct Norm {
  NormKind kind = NormKind::rms;
  std::uint64_t rows = 0, columns = 0;
  bool residual = false;
  NumberFormat format = NumberFormat::bf16;
  bool gated = false;
};

struct Softmax {
  std::uint64_t rows = 0, columns = 0;
  NumberFormat format = NumberFormat::bf16;
};

enum class ElementwiseKind : std::uint8_t {
  add,       // 2 inputs, 1 output
  mul,       // 2 inputs, 1 output
  scale,     // 1 input, 1 output (multiply or add a constant)
  silu,      // 1 input, 1 output
  silu_mul,  // gate and up halves in, 1 output: silu(gate) * up
  gelu_mul,  // the same with gelu
  gelu,      // 1 input, 1 output
  relu,
  relu_squared,
  sigmoid_mul,  // gate and value in, 1 output: sigmoid(gate) * value
  tanh,
  pow,     // 1 input, 1 output, exponent constant
  divide,  // 2 inputs
  copy,
  exp,           // 1 input, 1 output
  sin,           // 1 input, 1 output
  sigmoid,       // 1 input, 1 output
  elu_plus_one,  // 1 input, 1 output
  quantize,      // 1 input in `input`, 1 output in `output`, one static scale
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

// ---- Recurrences and convolutions ----------------------------------------------------------------------------

// y[t] = act(sum over j of w[j] x[t - kernel + 1 + j], plus bias), for each channel by itself. State: the last
// kernel - 1 inputs, kept in `format`.
struct CausalConv {
  std::uint64_t batch = 0, tokens = 0, channels = 0, kernel = 4;
  std::uint64_t filters = 1;  // results of each channel, every one with weights of its own (token shifts of RWKV)
  bool bias = true;
  bool silu = true;
  bool reads_state = false;  // of the tokens before; else they are zero
  bool writes_state = true;
  NumberFormat format = NumberFormat::bf16;
};

// Mamba-1: h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] x[t], y[t] = C[t] h[t] + D x[t], times silu(z) when gated.
// Shapes: x, delta, z, y [batch, tokens, channels]; B, C [batch, tokens, state]; A [channels, state]; h [batch,
// channels, state]. delta = softplus of its input.
struct SelectiveScan {
  std::uint64_t batch = 0, tokens = 0, channels = 0, state = 0;
  bool gated = true;
  bool reads_state = false;
  bool writes_state = true;
  NumberFormat format = NumberFormat::bf16;
  NumberFormat state_format = NumberFormat::fp32;
};

// How the state S[key_dim, value_dim] of a head of linear attention follows from step to step.
enum class LinearRule : std::uint8_t {
  sum,            // S += k v^T (Katharopoulos et al. 2020)
  scalar_decay,   // S = a S + k v^T, one decay per head (RetNet, Lightning)
  ssd,            // the same, Q and K (C and B) shared by the heads of a group, D x added (Mamba-2)
  vector_decay,   // S = diag(a) S + k v^T (GLA, HGRN2, RWKV-6)
  delta,          // S = (I - b k k^T) S + b k v^T (DeltaNet)
  gated_delta,    // S = a (I - b k k^T) S + b k v^T (Gated DeltaNet)
  channel_delta,  // S = (I - b k k^T) diag(a) S + b k v^T (KDA)
  dplr,           // S = (diag(a) + c d^T) S + k v^T (RWKV-7)
  mlstm,          // S = f S + i k v^T, n = f n + i k, kept in range by a running maximum (xLSTM)
};

// o[t] = q[t] S[t] by chunks of `chunk` tokens: products inside a chunk, the state from chunk to chunk. A single token
// is the recurrence itself. Shapes: Q, K [batch, tokens, heads, key_dim]; V, O [batch, tokens, value_heads, value_dim];
// S [batch, value_heads, key_dim, value_dim]. heads divides value_heads.
struct LinearAttention {
  LinearRule rule = LinearRule::sum;
  std::uint64_t batch = 0, tokens = 0, heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;
  std::uint64_t chunk = 64;
  bool reads_state = false;
  bool writes_state = true;
  NumberFormat format = NumberFormat::bf16;
  NumberFormat state_format = NumberFormat::fp32;
};

// h[t] = a[t] h[t-1] + b[t] for each channel by itself (RG-LRU, HGRN, minGRU; complex: LRU, S5). a and b are inputs;
// with `constant`, a is a parameter of the channel. With `states` above 0 each channel is a system of so many constant
// recurrences, h_n = a_n h_n + b_n u and y = Re sum of c_n h_n, whose a, b and c are parameters (S4D at decode).
struct LinearScan {
  std::uint64_t batch = 0, tokens = 0, channels = 0;
  bool complex_values = false;
  bool constant = false;
  std::uint64_t states = 0;
  bool reads_state = false;
  bool writes_state = true;
  NumberFormat format = NumberFormat::bf16;
  NumberFormat state_format = NumberFormat::fp32;
};

// Causal convolution as long as the sequence, by Fourier transforms of fft_size() reals: y = irfft(rfft(u) rfft(K))
// + D u. u, y [batch, tokens, channels] in `format`; K [channels, taps] and D [channels] in fp32 (S4, H3, Hyena).
struct FftConv {
  std::uint64_t batch = 0, tokens = 0, channels = 0, taps = 0;
  NumberFormat format = NumberFormat::bf16;
  [[nodiscard]] std::uint64_t fft_size() const;  // the power of two that keeps the end from wrapping round
};

// The filter of a state space of `states` complex recurrences per channel, K [channels, taps] in fp32, from its
// parameters: a Vandermonde product (S4D), or Cauchy sums at the roots of unity and an inverse transform (S4).
struct StateFilter {
  std::uint64_t channels = 0, states = 0, taps = 0;
  bool cauchy = false;
  NumberFormat format = NumberFormat::fp32;
};

// Recurrences whose gates read the last output through dense matrices, and so go token by token: LSTM (h R of width x
// 4 width) and sLSTM (block-diagonal R of `heads` blocks, a normaliser and a running maximum besides). The inputs'
// part of the gates, [batch, tokens, 4 width], is computed before.
enum class CellKind : std::uint8_t { lstm, slstm };
struct SerialRecurrence {
  CellKind cell = CellKind::lstm;
  std::uint64_t batch = 0, tokens = 0, width = 0, heads = 1;
  bool reads_state = false;
  bool writes_state = true;
  NumberFormat format = NumberFormat::bf16;
  NumberFormat state_format = NumberFormat::fp32;
};

// ---- Selection and experts -----------------------------------------------------------------------------------

// One or two rows for every `block` rows of each of `batch` matrices [rows, columns], a block beginning every `stride`
// rows: the weighted sum (means of MoBA, compression of NSA), or the minimum and the maximum (bounds of Quest).
struct PoolRows {
  std::uint64_t batch = 0, rows = 0, columns = 0, block = 0, stride = 0;
  std::uint64_t blocks = 0;  // that begin within the rows; the last may be shorter
  bool bounds = false;
  NumberFormat format = NumberFormat::bf16;
};

// Sum over i of max(q_i low_i, q_i high_i) for each query head and page: what q k can be at most (Quest). Scores fp32.
struct PageScores {
  std::uint64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, pages = 0, head_dim = 0;
  NumberFormat format = NumberFormat::bf16;
};

// Rows of 32-bit keys of which `key_bits` differ, put in order by radix, with the index of each.
struct Sort {
  std::uint64_t rows = 0, columns = 0, key_bits = 32;
  NumberFormat format = NumberFormat::fp32;
};

// The k largest of each row, with their indices.
struct TopK {
  std::uint64_t rows = 0, columns = 0, k = 0;
  NumberFormat format = NumberFormat::fp32;
};

// Rows fetched by index into one dense matrix, as when tokens are put in the order of their experts. `source_rows`
// distinct rows are read, at most. The order is made first, from the expert of each row, unless it is `given`: another
// operator's result (a sort, the k largest of each line).
struct GatherRows {
  std::uint64_t rows = 0, source_rows = 0, columns = 0;
  NumberFormat format = NumberFormat::bf16;
  bool order_only = false;  // the indices alone are made: whoever reads the rows fetches them by index
  bool given = false;
  std::uint64_t ordered = 0;  // indices of all devices' rows, from which those of this one are found; 0: rows
  [[nodiscard]] std::uint64_t indices() const { return ordered == 0 ? rows : ordered; }
};

// out[t] = sum over `parts` rows of weight * row, fetched by index: the outputs of a token's experts.
struct CombineRows {
  std::uint64_t rows = 0, parts = 0, columns = 0;
  NumberFormat format = NumberFormat::bf16;
  std::uint64_t present = 0;  // of the rows * parts, those that this device has; 0: all
  [[nodiscard]] std::uint64_t fetched() const { return present == 0 ? rows * parts : present; }
};

// How tokens spread over the experts. Each gives the rows of every expert as a fixed list, the largest first, so that
// two runs agree: `balanced` as even as whole numbers allow; `random` what independent choices of equal probability
// give, by the quantiles of their binomial distribution; `zipf` popularity proportional to rank^-exponent; `given` as
// listed.
enum class ExpertLoadKind : std::uint8_t { balanced, random, zipf, given };
struct ExpertLoad {
  ExpertLoadKind kind = ExpertLoadKind::random;
  double exponent = 1;                   // of zipf
  std::vector<std::uint64_t> rows = {};  // of given: rows of each expert, in any order; experts not listed have none
};

// `experts` products over `rows` rows in all, each with weights of its own: C[r, n] = A[r, k] x W[expert(r)][k, n].
struct GroupedGemm {
  std::uint64_t experts = 0, rows = 0, n = 0, k = 0;
  std::uint64_t top_k = 1;  // rows of one token; they go to different experts
  ExpertLoad load = {};
  NumberFormat activation = NumberFormat::bf16;
  NumberFormat weight = NumberFormat::bf16;
  NumberFormat output = NumberFormat::bf16;
  bool bias = false;
  std::uint64_t source_rows = 0;  // the rows are fetched by index from among so many; 0: they lie together
  // Rows of each expert that another device holds, where the kernel goes over all rows: their output is set to zero.
  std::vector<std::uint64_t> rows_elsewhere = {};
  bool weight_transposed = false;  // W lies as [k,n]: the gradient of the rows. That of W is Backward<GroupedGemm>.
  bool block_scaled = false;  // operands have a scale per 128 values along k: partial sums are scaled on general lanes
};

// States of the scan that the forward pass keeps for the backward: one at the end of each run of 2048 tokens
// (selective_scan_fwd_kernel.cuh: kNThreads x kNItems of the longest sequences).
std::uint64_t scan_chunks(const SelectiveScan& op);

// Rows of each expert, the largest first; they sum to op.rows.
std::vector<std::uint64_t> expert_rows(const GroupedGemm& op);

// Every operator kind. cost() and the mapping visit all of them: a new kind does not compile until both know it.
using Operator =
    std::variant<Gemm, BatchedGemm, Attention, Norm, Softmax, Elementwise, Rotary, EmbeddingGather, CausalConv,
                 SelectiveScan, LinearAttention, LinearScan, TopK, GatherRows, CombineRows, GroupedGemm,
                 SparseAttention, FftConv, StateFilter, SerialRecurrence, PoolRows, PageScores, Sort,
                 // training
                 Backward<Attention>, Backward<Norm>, Backward<Softmax>, Backward<Elementwise>,
                 Backward<EmbeddingGather>, Backward<CausalConv>, Backward<SelectiveScan>, Backward<LinearAttention>,
                 Backward<LinearScan>, Backward<TopK>, Backward<GatherRows>, Backward<CombineRows>,
                 Backward<GroupedGemm>, ColumnSum, CrossEntropy, AdamW,
                 // between GPUs
                 Communication>;

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

// What one output element of an elementwise kind takes by the kind's formula.
struct ElementwiseInfo {
  ElementwiseKind kind;
  std::string_view name;  // "silu_mul", "add", ...
  std::uint32_t inputs;
  std::uint64_t flops, special;  // special: exp, reciprocal, tanh, ...
};
const ElementwiseInfo& info(ElementwiseKind kind);
std::string_view name(ElementwiseKind kind);

// The backward of an elementwise kind, per element of the forward's output: what it reads beside the gradient of the
// output, gradients that it writes (0: the gradient passes through as it is), FLOPs and special functions.
struct ElementwiseBackwardInfo {
  ElementwiseKind kind;
  std::uint32_t saved, gradients;
  std::uint64_t flops, special;
  bool from_output;  // the one value saved is the output, not the input
};
const ElementwiseBackwardInfo& backward_info(ElementwiseKind kind);

// "sum", "scalar_decay", "ssd", ...
std::string_view name(LinearRule rule);

struct OperatorKind {
  std::string name;     // what kind_name() gives
  std::string meaning;  // one line
};

// Every name that kind_name() can give, in the order of the variant, with its meaning: `lightcone list ops`.
std::vector<OperatorKind> operator_kinds();

// Unmasked (query, key) pairs of one head of one sequence.
std::uint64_t attended_pairs(std::uint64_t q_len, std::uint64_t kv_len, bool causal, std::uint64_t window);

}  // namespace lightcone::models
