// SPDX-License-Identifier: Apache-2.0
// Recurrences: chunked ones with operands in bf16 (linear attention, gated delta rule, SSD), serial ones in fp32 (RWKV,
// RG-LRU, LSTM, selective scan), and the causal convolution before them.
#include <functional>

#include "models/cuda/cases/case_lists.h"
#include "models/reference/causal_conv1d.h"
#include "models/reference/delta_rule.h"
#include "models/reference/linear_attention.h"
#include "models/reference/lstm.h"
#include "models/reference/rg_lru.h"
#include "models/reference/rwkv6.h"
#include "models/reference/rwkv7.h"
#include "models/reference/selective_scan.h"
#include "models/reference/state_space_duality.h"

namespace lightcone::models::cuda {

namespace {

constexpr double kChunked = 8e-3;     // operands, scores and state are rounded to bf16
constexpr double kBf16Result = 3e-3;  // fp32 inside
constexpr double kFp32Result = 2e-5;

// Views of [batch, tokens, heads, columns].
struct HeadView {
  const Sizes& sizes;
  std::int64_t batch, head;

  [[nodiscard]] DoubleMatrix of(const Values& values, std::int64_t heads, std::int64_t at_head,
                                std::int64_t columns) const {
    const std::int64_t tokens = sizes.at("tokens"), row = heads * columns;
    return matrix_at(values, batch * tokens * row + at_head * columns, tokens, columns, row);
  }
  [[nodiscard]] DoubleMatrix own(const Values& values, std::int64_t columns) const {
    return of(values, sizes.at("heads"), head, columns);
  }
  [[nodiscard]] DoubleVector own_column(const Values& values) const { return own(values, 1).col(0); }
  void put(Values& values, const DoubleMatrix& matrix) const {
    const std::int64_t row = sizes.at("heads") * matrix.cols();
    put_matrix(values, batch * sizes.at("tokens") * row + head * matrix.cols(), row, matrix);
  }
  void put_state(Values& values, const DoubleMatrix& state) const {
    put_matrix(values, (batch * sizes.at("heads") + head) * state.size(), state.cols(), state);
  }
};

// Output [batch, tokens, heads, values] and state [batch, heads, keys, values] head by head.
std::vector<Values> by_heads(const Sizes& s, std::int64_t keys, std::int64_t values,
                             const std::function<reference::HeadResult<double>(const HeadView&)>& one) {
  const std::int64_t heads = s.at("heads");
  Values o(std::size_t(s.at("batch") * s.at("tokens") * heads * values));
  Values state(std::size_t(s.at("batch") * heads * keys * values));
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      const HeadView view{s, b, h};
      const reference::HeadResult<double> result = one(view);
      view.put(o, result.output);
      view.put_state(state, result.state);
    }
  }
  return {o, state};
}

struct Counts {
  std::int64_t tokens, heads;  // of all sequences; and tokens x heads
};
Counts counts(const Sizes& s) {
  const std::int64_t tokens = s.at("batch") * s.at("tokens");
  return {tokens, tokens * s.at("heads")};
}

std::vector<OutputSpec> head_outputs(const Sizes& s, std::int64_t keys, std::int64_t values, double state_tolerance,
                                     double output_tolerance) {
  return {{"o", Element::bf16, counts(s).heads * values, output_tolerance},
          {"state", Element::fp32, s.at("batch") * s.at("heads") * keys * values, state_tolerance}};
}

// ---- Linear attention with decay ---------------------------------------------------------------------------------

Problem linear_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t rows = counts(s).heads, keys = s.at("keys"), values = s.at("values");
  return {{{"q", Element::bf16, rows * keys, Fill::normal, 1 / std::sqrt(double(keys))},
           {"k", Element::bf16, rows * keys},
           {"v", Element::bf16, rows * values},
           {"log decay", Element::fp32, rows, Fill::log_decay, 0.2}},
          head_outputs(s, keys, values, kChunked, kChunked)};
}
std::vector<Values> linear_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t keys = s.at("keys"), values = s.at("values");
  return by_heads(s, keys, values, [&](const HeadView& head) {
    return reference::linear_attention_recurrent<double>(
        {head.own(in[0], keys), head.own(in[1], keys), head.own(in[2], values), head.own_column(in[3]), {}});
  });
}

// ---- Gated delta rule ----------------------------------------------------------------------------------------------

Problem delta_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t rows = counts(s).heads, k_rows = counts(s).tokens * s.at("k_heads"), keys = s.at("keys"),
                     values = s.at("values");
  return {{{"q", Element::bf16, k_rows * keys, Fill::normal, 1 / std::sqrt(double(keys))},
           {"k", Element::bf16, k_rows * keys, Fill::unit_rows, 1, keys},
           {"v", Element::bf16, rows * values},
           {"log decay", Element::fp32, rows, Fill::log_decay, 0.2},
           {"beta", Element::fp32, rows, Fill::uniform, 1}},
          head_outputs(s, keys, values, kChunked, kChunked)};
}
std::vector<Values> delta_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t keys = s.at("keys"), values = s.at("values"), k_heads = s.at("k_heads");
  return by_heads(s, keys, values, [&](const HeadView& head) {
    const std::int64_t k_head = head.head / (s.at("heads") / k_heads);
    return reference::delta_rule_recurrent<double>({head.of(in[0], k_heads, k_head, keys),
                                                    head.of(in[1], k_heads, k_head, keys),
                                                    head.own(in[2], values),
                                                    head.own_column(in[4]),
                                                    head.own_column(in[3]),
                                                    {}});
  });
}

// ---- Mamba-2
// ---------------------------------------------------------------------------------------------------------

Problem ssd_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t rows = counts(s).heads, group_rows = counts(s).tokens * s.at("groups"), keys = s.at("keys"),
                     values = s.at("values");
  return {{{"c", Element::bf16, group_rows * keys, Fill::normal, 1 / std::sqrt(double(keys))},
           {"b", Element::bf16, group_rows * keys},
           {"x", Element::bf16, rows * values},
           {"dt", Element::fp32, rows, Fill::uniform, 0.2},
           {"a", Element::fp32, s.at("heads"), Fill::log_decay, 2}},
          head_outputs(s, keys, values, kChunked, kChunked)};
}
std::vector<Values> ssd_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t tokens = s.at("tokens"), heads = s.at("heads"), keys = s.at("keys"), values = s.at("values"),
                     groups = s.at("groups");
  Values y(in[2].size()), state(std::size_t(s.at("batch") * heads * keys * values));
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    const auto rows = [&](const Values& all, std::int64_t columns) {
      return matrix_at(all, b * tokens * columns, tokens, columns, columns);
    };
    const auto result = reference::ssd_recurrent<double>({rows(in[2], heads * values), rows(in[3], heads),
                                                          matrix_at(in[4], 0, heads, 1, 1), rows(in[1], groups * keys),
                                                          rows(in[0], groups * keys), groups});
    put_matrix(y, b * tokens * heads * values, heads * values, result.y);
    for (std::int64_t h = 0; h < heads; ++h) HeadView{s, b, h}.put_state(state, result.states[std::size_t(h)]);
  }
  return {y, state};
}

// ---- RWKV
// ------------------------------------------------------------------------------------------------------------

constexpr std::int64_t kWkv = 64;

Problem rwkv6_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t count = counts(s).heads * kWkv;
  return {{{"r", Element::bf16, count, Fill::normal, 0.125},
           {"k", Element::bf16, count},
           {"v", Element::bf16, count},
           {"log decay", Element::fp32, count, Fill::log_decay, 0.5},
           {"bonus", Element::fp32, s.at("heads") * kWkv}},
          head_outputs(s, kWkv, kWkv, kFp32Result, kBf16Result)};
}
std::vector<Values> rwkv6_truth(const Sizes& s, const std::vector<Values>& in) {
  return by_heads(s, kWkv, kWkv, [&](const HeadView& head) {
    return reference::rwkv6_recurrent<double>(
        {head.own(in[0], kWkv), head.own(in[1], kWkv), head.own(in[2], kWkv), head.own(in[3], kWkv), {}},
        matrix_at(in[4], head.head * kWkv, kWkv, 1, 1));
  });
}

Problem rwkv7_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t count = counts(s).heads * kWkv;
  return {{{"r", Element::bf16, count, Fill::normal, 0.125},
           {"k", Element::bf16, count},
           {"v", Element::bf16, count},
           {"a", Element::bf16, count, Fill::unit_rows, 1, kWkv},
           {"b", Element::bf16, count, Fill::unit_rows, 1, kWkv},
           {"log decay", Element::fp32, count, Fill::log_decay, 0.6}},
          head_outputs(s, kWkv, kWkv, kFp32Result, kBf16Result)};
}
// In the model b is the negative of a, scaled by a learning rate: the transition then shrinks the state.
void rwkv7_settle(const Sizes&, std::vector<Values>& in, std::uint64_t) {
  for (std::size_t i = 0; i < in[3].size(); ++i) in[4][i] = -0.5 * in[3][i];
}
std::vector<Values> rwkv7_truth(const Sizes& s, const std::vector<Values>& in) {
  return by_heads(s, kWkv, kWkv, [&](const HeadView& head) {
    const auto part = [&](std::size_t i) { return head.own(in[i], kWkv); };
    return reference::rwkv7_recurrent<double>({part(0), part(1), part(2), part(3), part(4), part(5), {}});
  });
}

// ---- RG-LRU
// ----------------------------------------------------------------------------------------------------------

Problem rg_lru_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t width = s.at("width"), count = s.at("batch") * s.at("tokens") * width,
                     part = width / s.at("blocks");
  const double scale = 1 / std::sqrt(double(part));
  return {{{"x", Element::bf16, count},
           {"recurrence gate", Element::bf16, width * part, Fill::normal, scale},
           {"input gate", Element::bf16, width * part, Fill::normal, scale},
           {"recurrence bias", Element::fp32, width},
           {"input bias", Element::fp32, width},
           {"lambda", Element::fp32, width, Fill::normal, 2}},
          {{"h", Element::fp32, count, kFp32Result}}};
}
std::vector<Values> rg_lru_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t width = s.at("width"), tokens = s.at("tokens"), part = width / s.at("blocks");
  // The reference multiplies from the left: [in, out] per block.
  const auto gate = [&](const Values& values) {
    DoubleMatrix weights(width, part);
    for (std::int64_t first = 0; first < width; first += part) {
      weights.middleRows(first, part) = matrix_at(values, first * part, part, part, part).transpose();
    }
    return weights;
  };
  const auto vector = [&](const Values& values) { return DoubleVector(matrix_at(values, 0, width, 1, 1)); };
  const reference::RgLruWeights weights{gate(in[1]), gate(in[2]), vector(in[3]), vector(in[4]), vector(in[5])};
  Values h(in[0].size());
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    const DoubleMatrix x = matrix_at(in[0], b * tokens * width, tokens, width, width);
    put_matrix(h, b * tokens * width, width, reference::rg_lru_serial(reference::rg_lru_gates(weights, x)));
  }
  return {h};
}

// ---- LSTM
// ------------------------------------------------------------------------------------------------------------

Problem lstm_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t width = s.at("width"), inputs = s.at("inputs"), rows = s.at("batch") * s.at("tokens");
  return {{{"x", Element::bf16, rows * inputs},
           {"w", Element::bf16, 4 * width * inputs, Fill::normal, 1 / std::sqrt(double(inputs))},
           {"r", Element::bf16, 4 * width * width, Fill::normal, 1 / std::sqrt(double(width))},
           {"bias", Element::fp32, 4 * width}},
          {{"h", Element::fp32, rows * width, kFp32Result}}};
}
std::vector<Values> lstm_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t width = s.at("width"), inputs = s.at("inputs"), tokens = s.at("tokens");
  const reference::LstmWeights<double> weights{matrix_at(in[1], 0, 4 * width, inputs, inputs).transpose(),
                                               matrix_at(in[2], 0, 4 * width, width, width).transpose(),
                                               matrix_at(in[3], 0, 4 * width, 1, 1)};
  Values h(std::size_t(s.at("batch") * tokens * width));
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    const DoubleMatrix x = matrix_at(in[0], b * tokens * inputs, tokens, inputs, inputs);
    put_matrix(h, b * tokens * width, width, reference::lstm_fused<double>(weights, x));
  }
  return {h};
}

// ---- Mamba
// -----------------------------------------------------------------------------------------------------------

Problem selective_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t rows = s.at("batch") * s.at("tokens"), width = s.at("width"), states = s.at("states");
  return {{{"u", Element::bf16, rows * width},
           {"delta", Element::fp32, rows * width, Fill::uniform, 0.3},
           {"a", Element::fp32, width * states, Fill::log_decay, 4},
           {"b", Element::bf16, rows * states},
           {"c", Element::bf16, rows * states},
           {"skip", Element::fp32, width},
           {"z", Element::bf16, rows * width}},
          {{"y", Element::bf16, rows * width, kBf16Result},
           {"state", Element::fp32, s.at("batch") * width * states, kFp32Result}}};
}
std::vector<Values> selective_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t tokens = s.at("tokens"), width = s.at("width"), states = s.at("states");
  Values y(in[0].size()), state(std::size_t(s.at("batch") * width * states));
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    const auto rows = [&](std::size_t i, std::int64_t columns) {
      return matrix_at(in[i], b * tokens * columns, tokens, columns, columns);
    };
    const auto result = reference::selective_scan_serial<double>(
        {rows(0, width), rows(1, width), matrix_at(in[2], 0, width, states, states), rows(3, states), rows(4, states),
         matrix_at(in[5], 0, width, 1, 1), rows(6, width)});
    put_matrix(y, b * tokens * width, width, result.output);
    put_matrix(state, b * width * states, states, result.chunk_states.back());
  }
  return {y, state};
}

// ---- Causal convolution
// ------------------------------------------------------------------------------------------------

Problem conv_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t channels = s.at("channels"), count = s.at("batch") * s.at("tokens") * channels;
  return {{{"x", Element::bf16, count},
           {"weight", Element::bf16, channels * s.at("taps"), Fill::normal, 0.5},
           {"bias", Element::bf16, channels}},
          {{"y", Element::bf16, count, kBf16Result}}};
}
std::vector<Values> conv_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t channels = s.at("channels"), tokens = s.at("tokens"), taps = s.at("taps");
  const reference::ShortFilter<double> filter{matrix_at(in[1], 0, channels, taps, taps),
                                              matrix_at(in[2], 0, channels, 1, 1)};
  Values y(in[0].size());
  for (std::int64_t b = 0; b < s.at("batch"); ++b) {
    const DoubleMatrix x = matrix_at(in[0], b * tokens * channels, tokens, channels, channels);
    put_matrix(y, b * tokens * channels, channels,
               reference::elementwise(reference::causal_conv1d(filter, x), reference::silu<double>));
  }
  return {y};
}

Sizes heads_of(std::int64_t batch, std::int64_t tokens, std::int64_t heads, Sizes more = {}) {
  more.insert({{"batch", batch}, {"tokens", tokens}, {"heads", heads}});
  return more;
}

}  // namespace

std::vector<PrimitiveCases> recurrent_cases() {
  const Sizes k64{{"keys", 64}, {"values", 64}}, k128{{"keys", 128}, {"values", 128}};
  const auto with = [](Sizes a, const Sizes& b) {
    a.insert(b.begin(), b.end());
    return a;
  };
  return {
      {"linear_attention",
       {heads_of(1, 1, 1, k64), heads_of(1, 100, 2, k64), heads_of(1, 65, 1, k128)},
       {heads_of(2, 500, 4, k128), heads_of(1, 256, 8, k64)},
       linear_problem,
       linear_truth},
      {"gated_delta_rule",
       {heads_of(1, 3, 1, with(k64, {{"k_heads", 1}})), heads_of(1, 140, 2, with(k64, {{"k_heads", 1}})),
        heads_of(1, 64, 1, with(k128, {{"k_heads", 1}}))},
       {heads_of(2, 300, 8, with(k128, {{"k_heads", 4}})), heads_of(1, 500, 4, with(k64, {{"k_heads", 4}}))},
       delta_problem,
       delta_truth},
      {"ssd_chunk_scan",
       {heads_of(1, 70, 2, with(k64, {{"groups", 1}})),
        heads_of(1, 129, 2, {{"keys", 128}, {"values", 64}, {"groups", 2}})},
       {heads_of(2, 400, 16, {{"keys", 128}, {"values", 64}, {"groups", 2}}),
        heads_of(1, 300, 4, with(k64, {{"groups", 1}}))},
       ssd_problem,
       ssd_truth},
      {"rwkv6", {heads_of(1, 1, 1), heads_of(2, 9, 2)}, {heads_of(2, 200, 4)}, rwkv6_problem, rwkv6_truth},
      {"rwkv7",
       {heads_of(1, 1, 1), heads_of(2, 9, 2)},
       {heads_of(2, 200, 4)},
       rwkv7_problem,
       rwkv7_truth,
       rwkv7_settle},
      {"rg_lru",
       {{{"batch", 2}, {"tokens", 7}, {"width", 80}, {"blocks", 2}},
        {{"batch", 1}, {"tokens", 1}, {"width", 16}, {"blocks", 1}}},
       {{{"batch", 2}, {"tokens", 200}, {"width", 1024}, {"blocks", 8}}},
       rg_lru_problem,
       rg_lru_truth},
      {"lstm",
       {{{"batch", 2}, {"tokens", 5}, {"width", 22}, {"inputs", 17}}},
       {{{"batch", 3}, {"tokens", 50}, {"width", 192}, {"inputs", 128}}},
       lstm_problem,
       lstm_truth},
      {"selective_scan",
       {{{"batch", 1}, {"tokens", 1}, {"width", 2}, {"states", 16}},
        {{"batch", 2}, {"tokens", 600}, {"width", 3}, {"states", 5}}},
       {{{"batch", 2}, {"tokens", 1100}, {"width", 192}, {"states", 16}}},
       selective_problem,
       selective_truth},
      {"causal_conv1d",
       {{{"batch", 2}, {"tokens", 1}, {"channels", 5}, {"taps", 4}},
        {{"batch", 1}, {"tokens", 37}, {"channels", 130}, {"taps", 3}}},
       {{{"batch", 2}, {"tokens", 500}, {"channels", 768}, {"taps", 4}}},
       conv_problem,
       conv_truth},
  };
}

}  // namespace lightcone::models::cuda
