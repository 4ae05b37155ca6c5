// SPDX-License-Identifier: Apache-2.0
// Costs of long convolutions, of the filters of state spaces, and of recurrences that go token by token.
#include <algorithm>
#include <bit>

#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

// Of a real transform of `size`, a power of two: half a complex one, 5 n log2 n (the convention of FFTW's benchmarks).
std::uint64_t real_fft_flops(std::uint64_t size) {
  const auto levels = static_cast<std::uint64_t>(std::bit_width(size) - 1);
  return checked_product("a transform", {5, size, levels}) / 2;
}

}  // namespace

std::uint64_t FftConv::fft_size() const {
  const std::uint64_t values = checked_sum("a convolution", {tokens, std::min(taps, tokens)});
  if (values > std::uint64_t{1} << 40) throw ConfigError("fft_conv: the sequence is too long for a transform");
  return std::bit_ceil(std::max<std::uint64_t>(2, values - 1));
}

// A transform of each filter, one there and one back for each sequence and channel, a complex product (6) at each of
// size / 2 + 1 frequencies, and D u added (2).
Cost cost_of(const FftConv& op) {
  require_positive("fft_conv",
                   {{"batch", op.batch}, {"tokens", op.tokens}, {"channels", op.channels}, {"taps", op.taps}});
  const std::uint64_t size = op.fft_size(), lines = checked_product("fft_conv", {op.batch, op.channels});
  const std::uint64_t transforms = checked_sum("fft_conv", {op.channels, checked_product("fft_conv", {2, lines})});
  const std::uint64_t values = checked_product("fft_conv", {lines, op.tokens});
  Cost c;
  c.vector_flops =
      Flops(checked_sum("fft_conv FLOPs", {checked_product("fft_conv FLOPs", {transforms, real_fft_flops(size)}),
                                           checked_product("fft_conv FLOPs", {6, lines, size / 2 + 1}),
                                           checked_product("fft_conv FLOPs", {2, values})}));
  c.weight_bytes = tensor_bytes("fft_conv D", NumberFormat::fp32, {op.channels});
  c.read_bytes =
      total("fft_conv input",
            {tensor_bytes("fft_conv input", op.format, {values}),
             tensor_bytes("fft_conv filters", NumberFormat::fp32, {op.channels, std::min(op.taps, op.tokens)})});
  c.written_bytes = tensor_bytes("fft_conv output", op.format, {values});
  return c;
}

// Vandermonde, per state and tap: the exponent's two products, e^re cos and e^re sin (2; three special functions), the
// real part of a product (3) and the sum (1). Cauchy, per state and frequency: the difference (1: the real part is a
// constant), its squared length (3), the two parts of the reciprocal (2; one special function), and four complex
// multiply-adds (8 each); per frequency the rank-one correction and the factor in front (32: four complex products and
// a division); then one transform back.
Cost cost_of(const StateFilter& op) {
  require_positive("state_filter", {{"channels", op.channels}, {"states", op.states}, {"taps", op.taps}});
  if (op.taps > std::uint64_t{1} << 40) throw ConfigError("state_filter: too many taps for a transform");
  const std::uint64_t poles = checked_product("state_filter", {op.channels, op.states});
  Cost c;
  if (op.cauchy) {
    const std::uint64_t size = std::bit_ceil(std::max<std::uint64_t>(2, op.taps)), frequencies = size / 2 + 1;
    const std::uint64_t sums = checked_product("state_filter", {poles, frequencies});
    c.vector_flops = Flops(checked_sum("state_filter FLOPs",
                                       {checked_product("state_filter FLOPs", {38, sums}),
                                        checked_product("state_filter FLOPs", {32, op.channels, frequencies}),
                                        checked_product("state_filter FLOPs", {op.channels, real_fft_flops(size)})}));
    c.special = checked_sum("state_filter special functions",
                            {sums, checked_product("state_filter", {op.channels, frequencies})});
  } else {
    const std::uint64_t terms = checked_product("state_filter", {poles, op.taps});
    c.vector_flops = flops("state_filter FLOPs", {8, terms});
    c.special = checked_product("state_filter special functions", {3, terms});
  }
  // Complex poles, B and C, for Cauchy P besides; the step of each channel.
  c.weight_bytes = total("state_filter weights",
                         {tensor_bytes("state_filter weights", NumberFormat::fp32, {op.cauchy ? 8u : 6u, poles}),
                          tensor_bytes("state_filter steps", NumberFormat::fp32, {op.channels})});
  c.written_bytes = tensor_bytes("state_filter output", op.format, {op.channels, op.taps});
  return c;
}

// The product with R on the tensor core; per element the four sums (4) and the cell: LSTM 4 and five special functions,
// sLSTM 12 (the running maximum and two differences 4, c 3, n 2, output 2, log of the sigmoid 1) and nine.
Cost cost_of(const SerialRecurrence& op) {
  require_positive("serial_recurrence",
                   {{"batch", op.batch}, {"tokens", op.tokens}, {"width", op.width}, {"heads", op.heads}});
  if (op.width % op.heads != 0) {
    throw ConfigError(fmt::format("serial_recurrence: heads {} does not divide width {}", op.heads, op.width));
  }
  const bool lstm = op.cell == CellKind::lstm;
  const std::uint64_t weights = checked_product("serial_recurrence", {4, op.width, op.width / op.heads});
  const std::uint64_t values = checked_product("serial_recurrence", {op.batch, op.tokens, op.width});
  Cost c;
  c.matrix_flops = flops("serial_recurrence FLOPs", {2, op.batch, op.tokens, weights});
  c.vector_flops = flops("serial_recurrence FLOPs", {lstm ? 8u : 16u, values});
  c.special = checked_product("serial_recurrence special functions", {lstm ? 5u : 9u, values});
  c.weight_bytes = tensor_bytes("serial_recurrence weights", op.format, {weights});
  c.read_bytes = tensor_bytes("serial_recurrence input", op.format, {4, values});
  c.written_bytes = tensor_bytes("serial_recurrence output", op.format, {values});
  // c and h; sLSTM has n and m besides.
  const Bytes state = tensor_bytes("serial_recurrence state", op.state_format, {lstm ? 2u : 4u, op.batch, op.width});
  if (op.reads_state) c.read_bytes = total("serial_recurrence state", {c.read_bytes, state});
  if (op.writes_state) c.written_bytes = total("serial_recurrence state", {c.written_bytes, state});
  return c;
}

}  // namespace lightcone::models
