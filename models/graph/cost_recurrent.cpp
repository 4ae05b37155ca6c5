// SPDX-License-Identifier: Apache-2.0
// Costs of convolutions, scans and linear attention. Matrix FLOPs are those of products that a tensor core can take
// (inside chunks); a single token is a recurrence on vectors.
#include <array>

#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

std::uint64_t product(std::initializer_list<std::uint64_t> factors) { return checked_product("a recurrence", factors); }
std::uint64_t sum(std::initializer_list<std::uint64_t> terms) { return checked_sum("a recurrence", terms); }

// State that a pass reads and writes.
void add_state(Cost& c, Bytes state, bool reads, bool writes) {
  if (reads) c.read_bytes = total("state", {c.read_bytes, state});
  if (writes) c.written_bytes = total("state", {c.written_bytes, state});
}

bool is_delta(LinearRule rule) {
  return rule == LinearRule::delta || rule == LinearRule::gated_delta || rule == LinearRule::channel_delta;
}

// FLOPs of one step of the recurrence, per element of S: the decay, k v^T added (2), q S (2), and for the delta rules
// S^T k (2) with the correction inside the update; for dplr S c (2) and its outer product (2).
std::uint64_t step_flops(LinearRule rule) {
  switch (rule) {
    case LinearRule::sum:
      return 4;
    case LinearRule::scalar_decay:
    case LinearRule::ssd:
    case LinearRule::vector_decay:
      return 5;
    case LinearRule::delta:
    case LinearRule::mlstm:  // the input gate besides
      return 6;
    case LinearRule::gated_delta:
    case LinearRule::channel_delta:
      return 7;
    case LinearRule::dplr:
      return 9;
  }
  return 0;
}

// Products of one chunk of c tokens for one value head, whole squares counted as they are computed:
// Q K^T, its product with V, Q S, K^T V; the delta rules (Yang et al. 2024): K K^T, T V, T K, W S besides, and the
// triangular solve of c^3 / 3 multiply-adds. dplr (RWKV-7) has four score matrices in place of two, and two more
// products with the state.
std::uint64_t chunk_flops(const LinearAttention& a, std::uint64_t c) {
  const std::uint64_t dk = a.key_dim, dv = a.value_dim;
  const std::uint64_t squares = product({2, c, c}), state = product({2, c, dk, dv});
  if (a.rule == LinearRule::ssd) return sum({product({squares, dv}), product({2, state})});  // C B^T is the group's
  if (is_delta(a.rule)) {
    return sum({product({squares, sum({3 * dk, 2 * dv})}), product({3, state}), product({2, c, c, c}) / 3});
  }
  if (a.rule == LinearRule::dplr) {
    return sum({product({squares, sum({5 * dk, 3 * dv})}), product({4, state}), product({2, c, c, c}) / 3});
  }
  // The normaliser of mlstm is one more column of V and S.
  const std::uint64_t columns = sum({dv, a.rule == LinearRule::mlstm ? 1u : 0u});
  return sum({product({squares, sum({dk, columns})}), product({4, c, dk, columns})});
}

// Values of S of one head; mlstm keeps its normaliser and running maximum besides.
std::uint64_t head_state(const LinearAttention& a) {
  const std::uint64_t matrix = product({a.key_dim, a.value_dim});
  return a.rule == LinearRule::mlstm ? sum({matrix, a.key_dim, 1}) : matrix;
}

}  // namespace

// Values per token and value head beside q, k, v: decays and mixing strengths, in fp32 where they are scalars.
Bytes gate_bytes(const LinearAttention& a, std::uint64_t rows) {
  const auto scalars = [&](std::uint64_t n) {
    return tensor_bytes("gates", NumberFormat::fp32, {n, rows, a.value_heads});
  };
  const auto vectors = [&](std::uint64_t n) { return tensor_bytes("gates", a.format, {n, rows, a.heads, a.key_dim}); };
  switch (a.rule) {
    case LinearRule::sum:
    case LinearRule::scalar_decay:  // a constant of the head
      return {};
    case LinearRule::ssd:
    case LinearRule::delta:
      return scalars(1);
    case LinearRule::gated_delta:
    case LinearRule::mlstm:
      return scalars(2);
    case LinearRule::vector_decay:
      return vectors(1);
    case LinearRule::channel_delta:
      return total("gates", {vectors(1), scalars(1)});
    case LinearRule::dplr:
      return vectors(3);  // decay, and the two vectors of the low-rank part
  }
  return {};
}

Cost cost_of(const CausalConv& op) {
  require_positive("causal_conv", {{"batch", op.batch},
                                   {"tokens", op.tokens},
                                   {"channels", op.channels},
                                   {"kernel", op.kernel},
                                   {"filters", op.filters}});
  const std::uint64_t values = product({op.batch, op.tokens, op.channels});
  Cost c;
  const std::uint64_t results = product({values, op.filters});
  c.vector_flops = flops("causal_conv FLOPs", {2 * op.kernel + (op.bias ? 1 : 0) + (op.silu ? 2 : 0), results});
  c.special = op.silu ? product({2, results}) : 0;  // exp, reciprocal
  c.weight_bytes =
      tensor_bytes("causal_conv weights", op.format, {op.channels, op.filters, op.kernel + (op.bias ? 1 : 0)});
  c.read_bytes = tensor_bytes("causal_conv input", op.format, {values});
  c.written_bytes = tensor_bytes("causal_conv output", op.format, {results});
  const Bytes state = tensor_bytes("causal_conv state", op.format, {op.batch, op.channels, op.kernel - 1});
  add_state(c, state, op.reads_state, op.writes_state);
  return c;
}

// Per (channel, state, token): delta A, times delta x B (2: delta x is shared by the states), h = a h + b (2), y += C h
// (2), and one exp. Per (channel, token): softplus (exp, log), delta x, D x added (2); the gate 3 with exp, reciprocal.
Cost cost_of(const SelectiveScan& op) {
  require_positive("selective_scan",
                   {{"batch", op.batch}, {"tokens", op.tokens}, {"channels", op.channels}, {"state", op.state}});
  const std::uint64_t values = product({op.batch, op.tokens, op.channels});
  const std::uint64_t steps = product({values, op.state});
  Cost c;
  c.vector_flops = Flops(sum({product({6, steps}), product({op.gated ? 6u : 3u, values})}));
  c.special = sum({steps, product({op.gated ? 4u : 2u, values})});
  c.weight_bytes = tensor_bytes("selective_scan weights", NumberFormat::fp32,
                                {op.channels, sum({op.state, 2})});  // A, D and the bias of delta
  c.read_bytes = total("selective_scan input",
                       {tensor_bytes("selective_scan input", op.format, {op.gated ? 3u : 2u, values}),
                        tensor_bytes("selective_scan B and C", op.format, {2, op.batch, op.tokens, op.state})});
  c.written_bytes = tensor_bytes("selective_scan output", op.format, {values});
  const Bytes state = tensor_bytes("selective_scan state", op.state_format, {op.batch, op.channels, op.state});
  add_state(c, state, op.reads_state, op.writes_state);
  return c;
}

Cost cost_of(const LinearAttention& op) {
  require_positive("linear_attention", {{"batch", op.batch},
                                        {"tokens", op.tokens},
                                        {"heads", op.heads},
                                        {"value_heads", op.value_heads},
                                        {"key_dim", op.key_dim},
                                        {"value_dim", op.value_dim},
                                        {"chunk", op.chunk}});
  if (op.value_heads % op.heads != 0) {
    throw ConfigError(
        fmt::format("linear_attention: heads {} does not divide value_heads {}", op.heads, op.value_heads));
  }
  const std::uint64_t rows = product({op.batch, op.tokens});
  const std::uint64_t state_values = product({op.batch, op.value_heads, head_state(op)});
  Cost c;
  if (op.tokens == 1) {
    c.vector_flops = Flops(product({step_flops(op.rule), state_values}));
  } else {
    const std::uint64_t whole = op.tokens / op.chunk, rest = op.tokens % op.chunk;
    const auto all = [&](std::uint64_t length) {
      if (length == 0) return std::uint64_t{0};
      const std::uint64_t shared =
          op.rule == LinearRule::ssd ? product({2, length, length, op.key_dim, op.heads}) : std::uint64_t{0};
      return product({op.batch, sum({product({op.value_heads, chunk_flops(op, length)}), shared})});
    };
    c.matrix_flops = Flops(sum({product({whole, whole == 0 ? 0 : all(op.chunk)}), all(rest)}));
    // The decay of the scores and of the state, once per element.
    if (op.rule != LinearRule::sum && op.rule != LinearRule::delta) {
      const std::uint64_t squares = sum({product({whole, op.chunk, op.chunk}), product({rest, rest})});
      c.vector_flops = Flops(
          sum({product({op.batch, op.value_heads, squares}), product({state_values, ceil_div(op.tokens, op.chunk)})}));
      c.special = product({rows, op.value_heads});
    }
  }
  if (op.rule == LinearRule::ssd) c.vector_flops += Flops(product({2, rows, op.value_heads, op.value_dim}));  // D x
  const Bytes keys = tensor_bytes("linear_attention Q and K", op.format, {2, rows, op.heads, op.key_dim});
  const Bytes values = tensor_bytes("linear_attention V", op.format, {rows, op.value_heads, op.value_dim});
  c.read_bytes = total("linear_attention input", {keys, values, gate_bytes(op, rows)});
  c.written_bytes = values;
  add_state(c, tensor_bytes("linear_attention state", op.state_format, {state_values}), op.reads_state,
            op.writes_state);
  return c;
}

// A multiply-add per value (complex: 8 FLOPs). A system of states: the multiply-add with b u besides (complex: 6 + 2 +
// 2), and the real part of c h added (4); real: 1 + 2 + 2.
Cost cost_of(const LinearScan& op) {
  require_positive("linear_scan", {{"batch", op.batch}, {"tokens", op.tokens}, {"channels", op.channels}});
  const std::uint64_t parts = op.complex_values ? 2 : 1;
  const std::uint64_t values = product({op.batch, op.tokens, op.channels});
  const std::uint64_t kept = product({parts, op.channels, op.states == 0 ? 1 : op.states});  // state of a sequence
  Cost c;
  if (op.states == 0) {
    c.vector_flops = flops("linear_scan FLOPs", {op.complex_values ? 8u : 2u, values});
    c.read_bytes = tensor_bytes("linear_scan input", op.format, {op.constant ? 1u : 2u, parts, values});
    c.written_bytes = tensor_bytes("linear_scan output", op.format, {parts, values});
    if (op.constant) c.weight_bytes = tensor_bytes("linear_scan decays", NumberFormat::fp32, {kept});
  } else {
    if (!op.constant) throw ConfigError("linear_scan: a system of states has constant coefficients");
    c.vector_flops = flops("linear_scan FLOPs", {op.complex_values ? 14u : 5u, values, op.states});
    c.weight_bytes = tensor_bytes("linear_scan coefficients", NumberFormat::fp32, {3, kept});
    c.read_bytes = tensor_bytes("linear_scan input", op.format, {values});
    c.written_bytes = tensor_bytes("linear_scan output", op.format, {values});
  }
  add_state(c, tensor_bytes("linear_scan state", op.state_format, {op.batch, kept}), op.reads_state, op.writes_state);
  return c;
}

}  // namespace lightcone::models
