// SPDX-License-Identifier: Apache-2.0
// Costs of selection and of experts, and how tokens spread over experts.
#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <numeric>

#include "models/graph/cost_parts.h"

namespace lightcone::models {

namespace {

constexpr std::uint64_t kIndexBytes = 4;

std::uint64_t sum(const std::vector<std::uint64_t>& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::uint64_t{0});
}

std::vector<std::uint64_t> even_rows(std::uint64_t experts, std::uint64_t rows) {
  std::vector<std::uint64_t> out(experts, rows / experts);
  for (std::uint64_t i = 0; i < rows % experts; ++i) ++out[i];
  return out;
}

// Whole numbers proportional to `shares`, none above `most`, which sum to `rows`: rounded down, the remainders to the
// largest fractions, then to whoever has room.
std::vector<std::uint64_t> apportion(std::vector<double> shares, std::uint64_t rows, std::uint64_t most) {
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<std::uint64_t> out(shares.size());
  std::uint64_t given = 0;
  std::vector<std::pair<double, std::size_t>> fractions;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double exact = shares[i] / total * static_cast<double>(rows);
    out[i] = std::min(most, static_cast<std::uint64_t>(exact));
    given += out[i];
    fractions.emplace_back(-(exact - std::floor(exact)), i);
  }
  std::sort(fractions.begin(), fractions.end());
  while (given < rows) {  // evenly among those with room, one by one at last
    const std::uint64_t each = std::max<std::uint64_t>(1, (rows - given) / out.size());
    for (const auto& [fraction, i] : fractions) {
      const std::uint64_t more = std::min({each, most - out[i], rows - given});
      out[i] += more;
      given += more;
    }
  }
  std::sort(out.rbegin(), out.rend());
  return out;
}

// Quantiles of Binomial(tokens, top_k / experts) at (i + 1/2) / experts: what the experts' loads look like, sorted. One
// walk along the distribution gives them all, where it is not too wide to be walked.
std::vector<double> binomial_quantiles(std::uint64_t experts, std::uint64_t tokens, double probability) {
  using namespace boost::math::policies;
  constexpr double kWidest = 2000, kFarBelow = 12;  // standard deviations: nothing lies below
  const boost::math::binomial_distribution<double, policy<discrete_quantile<integer_round_up>>> load(
      static_cast<double>(tokens), probability);
  const double deviation = boost::math::standard_deviation(load);
  const auto n = static_cast<double>(tokens), odds = probability / (1 - probability);
  double k = std::floor(std::max(0.0, boost::math::mean(load) - kFarBelow * deviation));
  double mass = boost::math::pdf(load, k), below = boost::math::cdf(load, k);
  std::vector<double> out(experts);
  for (std::uint64_t i = 0; i < experts; ++i) {
    const double share = (static_cast<double>(i) + 0.5) / static_cast<double>(experts);
    if (deviation > kWidest) {
      out[experts - 1 - i] = boost::math::quantile(load, share);
      continue;
    }
    while (below < share && k < n) {
      mass *= (n - k) / (k + 1) * odds;
      ++k;
      below += mass;
    }
    out[experts - 1 - i] = k;
  }
  return out;
}

std::vector<std::uint64_t> given_rows(const GroupedGemm& op) {
  std::vector<std::uint64_t> out = op.load.rows;
  if (out.size() > op.experts || sum(out) != op.rows) {
    throw ConfigError(
        fmt::format("grouped_gemm: a list of {} experts with {} rows is not that of {} experts and {} rows", out.size(),
                    sum(out), op.experts, op.rows));
  }
  out.resize(op.experts);
  std::sort(out.rbegin(), out.rend());
  return out;
}

}  // namespace

std::vector<std::uint64_t> expert_rows(const GroupedGemm& op) {
  require_positive("grouped_gemm", {{"experts", op.experts}, {"rows", op.rows}, {"top_k", op.top_k}});
  if (op.load.kind == ExpertLoadKind::given) return given_rows(op);
  if (op.top_k > op.experts || op.rows % op.top_k != 0) {
    throw ConfigError(fmt::format("grouped_gemm: {} rows cannot be the {} choices of each token among {} experts",
                                  op.rows, op.top_k, op.experts));
  }
  const std::uint64_t tokens = op.rows / op.top_k;  // no expert gets a token twice
  if (op.load.kind == ExpertLoadKind::balanced || op.top_k == op.experts) return even_rows(op.experts, op.rows);
  if (op.load.kind == ExpertLoadKind::random) {
    const double probability = static_cast<double>(op.top_k) / static_cast<double>(op.experts);
    return apportion(binomial_quantiles(op.experts, tokens, probability), op.rows, tokens);
  }
  std::vector<double> shares(op.experts);
  for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = std::pow(static_cast<double>(i + 1), -op.load.exponent);
  return apportion(std::move(shares), op.rows, tokens);
}

Cost cost_of(const TopK& op) {
  require_positive("top_k", {{"rows", op.rows}, {"columns", op.columns}, {"k", op.k}});
  if (op.k > op.columns) throw ConfigError(fmt::format("top_k: k {} is above the {} columns", op.k, op.columns));
  Cost c;
  c.vector_flops = flops("top_k comparisons", {op.rows, op.columns});
  c.read_bytes = tensor_bytes("top_k input", op.format, {op.rows, op.columns});
  c.written_bytes = total("top_k output", {tensor_bytes("top_k output", op.format, {op.rows, op.k}),
                                           Bytes(checked_product("top_k indices", {op.rows, op.k, kIndexBytes}))});
  return c;
}

Cost cost_of(const GatherRows& op) {
  require_positive("gather_rows", {{"rows", op.rows}, {"source_rows", op.source_rows}, {"columns", op.columns}});
  if (op.indices() < op.rows) {
    throw ConfigError(fmt::format("gather_rows: {} rows cannot be among {} indices", op.rows, op.indices()));
  }
  if (op.order_only && op.given) throw ConfigError("gather_rows: the order alone is asked for, and given");
  Cost c;
  const Bytes indices(checked_product("gather_rows indices", {op.indices(), kIndexBytes}));
  if (op.order_only) {
    c.read_bytes = c.written_bytes = indices;
    return c;
  }
  c.read_bytes =
      total("gather_rows input",
            {tensor_bytes("gather_rows input", op.format, {std::min(op.rows, op.source_rows), op.columns}), indices});
  c.written_bytes = tensor_bytes("gather_rows output", op.format, {op.rows, op.columns});
  return c;
}

Cost cost_of(const CombineRows& op) {
  require_positive("combine_rows", {{"rows", op.rows}, {"parts", op.parts}, {"columns", op.columns}});
  if (op.fetched() > checked_product("combine_rows rows", {op.rows, op.parts})) {
    throw ConfigError(
        fmt::format("combine_rows: {} rows cannot be parts of {} sums of {}", op.present, op.rows, op.parts));
  }
  Cost c;
  c.vector_flops = flops("combine_rows FLOPs", {2, op.fetched(), op.columns});
  c.read_bytes = total("combine_rows input",
                       {tensor_bytes("combine_rows input", op.format, {op.fetched(), op.columns}),
                        Bytes(checked_product("combine_rows indices", {2, op.rows, op.parts, kIndexBytes}))});
  c.written_bytes = tensor_bytes("combine_rows output", op.format, {op.rows, op.columns});
  return c;
}

// Weights of the experts that have a row.
Cost cost_of(const GroupedGemm& op) {
  require_positive("grouped_gemm", {{"n", op.n}, {"k", op.k}});
  const Flops work = flops("grouped_gemm FLOPs", {2, op.rows, op.n, op.k});
  const std::vector<std::uint64_t> rows = expert_rows(op);
  const auto touched =
      static_cast<std::uint64_t>(std::count_if(rows.begin(), rows.end(), [](std::uint64_t r) { return r > 0; }));
  Cost c;
  c.matrix_flops = work;
  if (op.bias) c.vector_flops = flops("grouped_gemm bias FLOPs", {op.rows, op.n});
  c.weight_bytes = total("grouped_gemm weights",
                         {tensor_bytes("grouped_gemm weights", op.weight, {touched, op.n, op.k}),
                          op.bias ? tensor_bytes("grouped_gemm bias", op.output, {touched, op.n}) : Bytes()});
  const std::uint64_t read = op.source_rows == 0 ? op.rows : std::min(op.rows, op.source_rows);
  c.read_bytes =
      total("grouped_gemm inputs",
            {tensor_bytes("grouped_gemm inputs", op.activation, {read, op.k}),
             Bytes(op.source_rows == 0 ? 0 : checked_product("grouped_gemm indices", {op.rows, kIndexBytes}))});
  c.written_bytes = tensor_bytes("grouped_gemm output", op.output,
                                 {checked_sum("grouped_gemm rows", {op.rows, sum(op.rows_elsewhere)}), op.n});
  return c;
}

}  // namespace lightcone::models
