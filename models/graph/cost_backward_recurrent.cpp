// SPDX-License-Identifier: Apache-2.0
// Costs of the backward passes of convolutions, scans and linear attention.
#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

std::uint64_t product(std::initializer_list<std::uint64_t> factors) { return checked_product("a gradient", factors); }
std::uint64_t sum(std::initializer_list<std::uint64_t> terms) { return checked_sum("a gradient", terms); }

// The products that only give the output, scores times values and Q S, of a chunk of c tokens.
std::uint64_t output_products(const LinearAttention& a, std::uint64_t c) {
  const std::uint64_t columns = sum({a.value_dim, a.rule == LinearRule::mlstm ? 1u : 0u});
  return sum({product({2, c, c, columns}), product({2, c, a.key_dim, columns})});
}

// Over whole chunks and the rest, all heads.
std::uint64_t output_flops(const LinearAttention& a) {
  const std::uint64_t whole = a.tokens / a.chunk, rest = a.tokens % a.chunk;
  const std::uint64_t head =
      sum({whole == 0 ? 0 : product({whole, output_products(a, a.chunk)}), rest == 0 ? 0 : output_products(a, rest)});
  return product({a.batch, a.value_heads, head});
}

}  // namespace

std::uint64_t scan_chunks(const SelectiveScan& op) {
  constexpr std::uint64_t kTokens = 2048;
  return ceil_div(op.tokens, kTokens);
}

// Per result: the sum again (2 k, bias 1) where the slope of silu needs it, that slope times dy (5; exp, reciprocal),
// and 2 k each for the gradients of the input and of the filter, 1 of the bias.
Cost cost_of(const Backward<CausalConv>& op) {
  const CausalConv& f = op.forward;
  const Cost forward = cost_of(f);
  const std::uint64_t results = product({f.batch, f.tokens, f.channels, f.filters});
  const std::uint64_t bias = f.bias ? 1 : 0;
  Cost c;
  c.vector_flops = flops("causal_conv FLOPs", {4 * f.kernel + bias + (f.silu ? 2 * f.kernel + bias + 5 : 0), results});
  c.special = f.silu ? product({2, results}) : 0;
  c.weight_bytes = forward.weight_bytes;
  const Bytes input = tensor_bytes("causal_conv", f.format, {f.batch, f.tokens, f.channels});
  c.read_bytes = total("causal_conv", {input, tensor_bytes("causal_conv", f.format, {results})});
  const Bytes gradient =
      tensor_bytes("causal_conv weights", op.weight_gradient, {f.channels, f.filters, f.kernel + bias});
  c.written_bytes = total("causal_conv", {input, gradient});
  if (op.accumulates) c.read_bytes = total("causal_conv", {c.read_bytes, gradient});
  return c;
}

// Per (channel, state, token), with h from the saved state of each chunk: exp(delta A) (1), delta u B (1), h (2), y
// where a gate needs it (2); then dh += C dy (2), C' += h dy (2), the exponent's dh a h (2), into A' (2) and delta'
// (2), dh B into delta' and u' together (2), B' += dh delta u (2), dh a (1); one exp. Per (channel, token): dh B spread
// over delta' (2) and u' (1), D dy (2), D' (2), the slope of softplus (1; exp, logarithm, reciprocal); gated: dy
// silu(z) (3), z' (5; exp, reciprocal).
Cost cost_of(const Backward<SelectiveScan>& op) {
  const SelectiveScan& s = op.forward;
  const Cost forward = cost_of(s);
  const std::uint64_t values = product({s.batch, s.tokens, s.channels});
  const std::uint64_t steps = product({values, s.state});
  Cost c;
  c.vector_flops = Flops(sum({product({s.gated ? 21u : 19u, steps}), product({s.gated ? 16u : 8u, values})}));
  c.special = sum({steps, product({s.gated ? 5u : 3u, values})});
  c.weight_bytes = forward.weight_bytes;
  const std::uint64_t inputs = s.gated ? 3 : 2;
  const Bytes mixing = tensor_bytes("selective_scan B and C", s.format, {2, s.batch, s.tokens, s.state});
  const Bytes states =
      tensor_bytes("selective_scan states", s.state_format, {scan_chunks(s), s.batch, s.channels, s.state});
  c.read_bytes =
      total("selective_scan", {tensor_bytes("selective_scan", s.format, {inputs + 1, values}), mixing, states});
  c.written_bytes = total(
      "selective_scan", {tensor_bytes("selective_scan", s.format, {inputs, values}), mixing,
                         tensor_bytes("selective_scan weights", op.weight_gradient, {s.channels, sum({s.state, 2})})});
  return c;
}

// Every product of the forward pass has two gradients, and all but those that only give the output are computed again:
// three times the forward less once the output's. Without a solve that is 5 products inside a chunk and 5 with states
// (models/reference/linear_attention_backward.h); with the delta rules what fla's kernels multiply
// (chunk_gated_delta_rule_bwd: w and u, states, dv, dh, dq dk dw, WY). Decays: of scores and their gradients, of states
// and theirs; the gradient of the decay sums q dq - k dk.
Cost cost_of(const Backward<LinearAttention>& op) {
  const LinearAttention& a = op.forward;
  LinearAttention plain = a;
  plain.reads_state = plain.writes_state = false;
  const Cost forward = cost_of(plain);
  const std::uint64_t rows = product({a.batch, a.tokens});
  const bool decays = a.rule != LinearRule::sum && a.rule != LinearRule::delta;
  const std::uint64_t of_decay = decays ? product({4, rows, a.value_heads, a.key_dim}) : 0;
  Cost c;
  if (a.tokens == 1) {
    c.vector_flops = Flops(product({3, forward.vector_flops.count()}));
  } else {
    c.matrix_flops = Flops(product({3, forward.matrix_flops.count()}) - output_flops(a));
    c.vector_flops = Flops(sum({product({2, forward.vector_flops.count()}), of_decay}));
  }
  c.special = forward.special;
  c.read_bytes = total("linear_attention", {forward.read_bytes, forward.written_bytes});
  c.written_bytes = forward.read_bytes;
  return c;
}

// dh[t] = dy[t] + a[t+1] dh[t+1] (2), a' = dh h[t-1] (1), b' = dh. Complex: 8 and 6.
Cost cost_of(const Backward<LinearScan>& op) {
  const LinearScan& s = op.forward;
  require_positive("linear_scan", {{"batch", s.batch}, {"tokens", s.tokens}, {"channels", s.channels}});
  const std::uint64_t parts = s.complex_values ? 2 : 1;
  const std::uint64_t values = product({s.batch, s.tokens, s.channels});
  Cost c;
  if (s.states != 0) throw ConfigError("linear_scan: a system of states has no backward (it is that of a decode step)");
  c.vector_flops = flops("linear_scan FLOPs", {s.complex_values ? 14u : 3u, values});
  c.read_bytes = tensor_bytes("linear_scan", s.format, {s.constant ? 2u : 3u, parts, values});
  c.written_bytes = tensor_bytes("linear_scan", s.format, {s.constant ? 1u : 2u, parts, values});
  if (s.constant) {  // a is a parameter
    c.weight_bytes = tensor_bytes("linear_scan decays", NumberFormat::fp32, {parts, s.channels});
    const Bytes gradient = tensor_bytes("linear_scan decays", op.weight_gradient, {parts, s.channels});
    c.written_bytes = total("linear_scan", {c.written_bytes, gradient});
  }
  return c;
}

}  // namespace lightcone::models
