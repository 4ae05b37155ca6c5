// SPDX-License-Identifier: Apache-2.0
// Long convolutions, selections and quantisation. Where a kernel chooses (a bucket, a cluster's members, experts), the
// inputs are moved away from ties first, so that fp32 must choose as the reference does: those outputs must be equal.
#include <algorithm>
#include <functional>

#include "models/cuda/cases/case_lists.h"
#include "models/reference/fft_convolution.h"
#include "models/reference/lsh_attention.h"
#include "models/reference/moe.h"
#include "models/reference/quantised.h"
#include "models/reference/routing_attention.h"
#include "models/reference/s4d.h"

namespace lightcone::models::cuda {

namespace {

using reference::Complex;
using reference::Index;

constexpr double kBf16Result = 3e-3, kFp32Result = 2e-5;
constexpr double kMargin = 1e-4;  // between the chosen and the next, relative to the size of the values
constexpr double kEqual = 0;

// ---- S4 ----------------------------------------------------------------------------------------------------------

constexpr double kTau = 6.283185307179586;

// S4D-Lin of each channel with a step of its own between 0.001 and 0.1; zero-order hold folded into the weights.
struct S4Channel {
  reference::S4dChannel system;
  std::vector<Complex> weights, exponents;
};
S4Channel s4_channel(std::int64_t channel, std::int64_t channels, std::int64_t poles) {
  S4Channel c;
  reference::SeededValues random(std::uint64_t(channel) + 1);
  c.system.dt = 1e-3 * std::pow(100.0, double(channel) / double(std::max<std::int64_t>(1, channels - 1)));
  c.system.lambda = reference::s4d_lin(poles);
  c.system.b = reference::Vector<Complex>::Ones(poles);
  c.system.c = reference::Vector<Complex>::NullaryExpr(poles, [&] { return Complex(random.next(), random.next()); });
  for (Index n = 0; n < poles; ++n) {
    const Complex x = c.system.dt * c.system.lambda(n);
    c.weights.push_back(c.system.c(n) * c.system.b(n) * (std::exp(x) - 1.0) / c.system.lambda(n));
    c.exponents.push_back(x);
  }
  return c;
}
Problem vandermonde_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t channels = s.at("channels"), poles = s.at("poles");
  Problem problem;
  for (const char* name : {"weight re", "weight im", "exponent re", "turns", "turns rest"}) {
    problem.inputs.push_back({name, Element::fp32, channels * poles, Fill::given});
  }
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    const S4Channel c = s4_channel(channel, channels, poles);
    for (std::size_t n = 0; n < c.weights.size(); ++n) {
      const double turns = c.exponents[n].imag() / kTau, high = static_cast<double>(static_cast<float>(turns));
      const double values[] = {c.weights[n].real(), c.weights[n].imag(), c.exponents[n].real(), high, turns - high};
      for (std::size_t i = 0; i < 5; ++i) problem.inputs[i].values.push_back(values[i]);
    }
  }
  problem.outputs.push_back({"kernel", Element::fp32, channels * s.at("length"), kFp32Result});
  return problem;
}
std::vector<Values> vandermonde_truth(const Sizes& s, const std::vector<Values>&) {
  const std::int64_t channels = s.at("channels"), length = s.at("length");
  Values kernel(std::size_t(channels * length));
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    const DoubleVector k = reference::s4d_kernel(s4_channel(channel, channels, s.at("poles")).system, length);
    put_matrix(kernel, channel * length, 1, k);
  }
  return {kernel};
}

Problem convolution_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t channels = s.at("channels"), length = s.at("length"), count = s.at("batch") * channels * length;
  return {{{"u", Element::fp32, count}, {"kernel", Element::fp32, channels * length, Fill::normal, 0.1}},
          {{"y", Element::fp32, count, kFp32Result}}};
}
std::vector<Values> convolution_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t channels = s.at("channels"), length = s.at("length");
  Values y(in[0].size());
  for (std::int64_t row = 0; row < s.at("batch") * channels; ++row) {
    const DoubleVector u = matrix_at(in[0], row * length, length, 1, 1);
    const DoubleVector kernel = matrix_at(in[1], row % channels * length, length, 1, 1);
    put_matrix(y, row * length, 1, reference::direct_convolution(u, kernel));
  }
  return {y};
}

// ---- LSH ---------------------------------------------------------------------------------------------------------

DoubleMatrix rotation_of(const Sizes& s, const Values& rotations, std::int64_t round) {
  const std::int64_t dim = s.at("dim"), half = s.at("buckets") / 2;
  return matrix_at(rotations, round * dim * half, dim, half, half);
}
Problem lsh_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t tokens = s.at("tokens"), rounds = s.at("rounds");
  return {{{"x", Element::fp32, tokens * s.at("dim")},
           {"rotation", Element::fp32, rounds * s.at("dim") * s.at("buckets") / 2}},
          {{"round and bucket", Element::int32, rounds * tokens, kEqual},
           {"token", Element::int32, rounds * tokens, kEqual}}};
}
// Tokens whose two best directions are too close are drawn again.
void lsh_settle(const Sizes& s, std::vector<Values>& in, std::uint64_t seed) {
  reference::SeededValues random(seed + 1);
  const std::int64_t dim = s.at("dim");
  for (std::int64_t t = 0; t < s.at("tokens"); ++t) {
    const auto near = [&] {
      for (std::int64_t round = 0; round < s.at("rounds"); ++round) {
        const DoubleVector products =
            (matrix_at(in[0], t * dim, 1, dim, dim) * rotation_of(s, in[1], round)).cwiseAbs().transpose();
        const std::vector<Index> best = reference::top_k(products, 2);
        const bool close = best.size() > 1 && products(best[0]) - products(best[1]) < kMargin * products(best[0]);
        if (close || products(best[0]) < kMargin) return true;
      }
      return false;
    };
    while (near()) {
      for (std::int64_t i = 0; i < dim; ++i) in[0][std::size_t(t * dim + i)] = random.next();
    }
  }
}
std::vector<Values> lsh_truth(const Sizes& s, const std::vector<Values>& in) {
  std::vector<std::vector<Index>> buckets;
  const DoubleMatrix x = matrix_at(in[0], 0, s.at("tokens"), s.at("dim"), s.at("dim"));
  for (std::int64_t round = 0; round < s.at("rounds"); ++round) {
    buckets.push_back(reference::lsh_buckets<double>(x, rotation_of(s, in[1], round)));
  }
  Values keys, tokens;
  for (const reference::LshSlot& slot : reference::lsh_sorted(buckets)) {
    keys.push_back(double(slot.round * s.at("buckets") + slot.bucket));
    tokens.push_back(double(slot.token));
  }
  return {keys, tokens};
}

// ---- k-means routing ---------------------------------------------------------------------------------------------

DoubleMatrix tokens_of(const Sizes& s, const Values& x) {
  return matrix_at(x, 0, s.at("tokens"), s.at("dim"), s.at("dim"));
}
DoubleMatrix centroids_of(const Sizes& s, const Values& c) {
  return matrix_at(c, 0, s.at("clusters"), s.at("dim"), s.at("dim"));
}
Problem kmeans_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t dim = s.at("dim");
  return {{{"x", Element::fp32, s.at("tokens") * dim},
           {"centroids", Element::fp32, s.at("clusters") * dim, Fill::unit_rows, 1, dim}},
          {{"members", Element::int32, s.at("clusters") * s.at("window"), kEqual}}};
}
// A token just outside a cluster that comes too close to the last one inside is turned away.
void kmeans_settle(const Sizes& s, std::vector<Values>& in, std::uint64_t seed) {
  reference::SeededValues random(seed + 1);
  const std::int64_t dim = s.at("dim"), window = s.at("window");
  if (window >= s.at("tokens")) return;
  for (bool settled = false; !settled;) {
    settled = true;
    const DoubleMatrix unit = tokens_of(s, in[0]).rowwise().normalized();
    const DoubleMatrix similarity = reference::cluster_similarity<double>(unit, centroids_of(s, in[1]));
    for (Index c = 0; c < similarity.cols() && settled; ++c) {
      const std::vector<Index> best = reference::top_k(similarity.col(c), window + 1);
      const Index last = best[std::size_t(window) - 1], next = best[std::size_t(window)];
      if (similarity(last, c) - similarity(next, c) >= kMargin) continue;
      for (std::int64_t i = 0; i < dim; ++i) in[0][std::size_t(next * dim + i)] = random.next();
      settled = false;
    }
  }
}
std::vector<Values> kmeans_truth(const Sizes& s, const std::vector<Values>& in) {
  Values members;
  for (const auto& list :
       reference::cluster_members<double>(tokens_of(s, in[0]), centroids_of(s, in[1]), s.at("window"))) {
    for (const Index token : list) members.push_back(double(token));
  }
  return {members};
}

// ---- Router ------------------------------------------------------------------------------------------------------

Problem router_problem(const Sizes& s, std::uint64_t) {
  const std::int64_t chosen = s.at("tokens") * s.at("k");
  return {{{"logits", Element::fp32, s.at("tokens") * s.at("experts"), Fill::normal, 2}},
          {{"experts", Element::int32, chosen, kEqual}, {"gates", Element::fp32, chosen, kFp32Result}}};
}
// Logits are compared as they are, and the reference compares their softmax in double: only true ties would differ.
std::vector<Values> router_truth(const Sizes& s, const std::vector<Values>& in) {
  const std::int64_t tokens = s.at("tokens"), experts = s.at("experts"), k = s.at("k");
  const auto routing = reference::route_softmax<double>(matrix_at(in[0], 0, tokens, experts, experts), k, true);
  Values chosen, gates(std::size_t(tokens * k));
  for (const auto& list : routing.experts) {
    for (const Index expert : list) chosen.push_back(double(expert));
  }
  put_matrix(gates, 0, k, routing.gates);
  return {chosen, gates};
}

// ---- Quantisation ------------------------------------------------------------------------------------------------

reference::Matrix<float> rows_of(const Sizes& s, const Values& values) {
  return matrix_at(values, 0, s.at("m"), s.at("n"), s.at("n")).cast<float>();
}
std::vector<Values> codes_and_scales(const reference::Quantised& quantised) {
  Values codes(std::size_t(quantised.codes.size())), scales(std::size_t(quantised.scales.size()));
  put_matrix(codes, 0, quantised.codes.cols(), quantised.codes.cast<double>());
  put_matrix(scales, 0, quantised.scales.cols(), quantised.scales.cast<double>());
  return {codes, scales};
}
std::int64_t blocks_of_row(const Sizes& s) { return (s.at("n") + 127) / 128; }

// Codes are equal: quotient and rounding are those of IEEE fp32 on both sides.
Problem fp8_problem(const Sizes& s, std::uint64_t) {
  return {{{"in", Element::bf16, s.at("m") * s.at("n"), Fill::normal, 3}},
          {{"codes", Element::e4m3, s.at("m") * s.at("n"), kEqual},
           {"scales", Element::fp32, s.at("m") * blocks_of_row(s), kEqual}}};
}
std::vector<Values> fp8_truth(const Sizes& s, const std::vector<Values>& in) {
  return codes_and_scales(reference::quantise(rows_of(s, in[0]), reference::kFp8Activation));
}
Problem int8_problem(const Sizes& s, std::uint64_t) {
  return {{{"in", Element::bf16, s.at("m") * s.at("n"), Fill::normal, 3}},
          {{"codes", Element::int8, s.at("m") * s.at("n"), kEqual}, {"scales", Element::fp32, s.at("m"), kEqual}}};
}
std::vector<Values> int8_truth(const Sizes& s, const std::vector<Values>& in) {
  return codes_and_scales(reference::quantise(rows_of(s, in[0]), reference::kInt8PerToken));
}
Problem dequantise_problem(const Sizes& s, std::uint64_t) {
  return {{{"codes", Element::e4m3, s.at("m") * s.at("n"), Fill::normal, 50},
           {"scales", Element::fp32, s.at("m") * blocks_of_row(s), Fill::uniform, 0.1}},
          {{"out", Element::bf16, s.at("m") * s.at("n"), kBf16Result}}};
}
std::vector<Values> dequantise_truth(const Sizes& s, const std::vector<Values>& in) {
  reference::Quantised quantised{
      rows_of(s, in[0]), matrix_at(in[1], 0, s.at("m"), blocks_of_row(s), blocks_of_row(s)).cast<float>(), 1, 128};
  Values out(in[0].size());
  put_matrix(out, 0, s.at("n"), reference::dequantised(quantised));
  return {out};
}

}  // namespace

std::vector<PrimitiveCases> selection_cases() {
  const std::vector<Sizes> small{{{"m", 1}, {"n", 1}}, {{"m", 3}, {"n", 200}}};
  const std::vector<Sizes> large{{{"m", 70}, {"n", 1000}}, {{"m", 16}, {"n", 7168}}};
  return {
      {"s4_vandermonde",
       {{{"channels", 2}, {"length", 150}, {"poles", 4}}},
       {{{"channels", 16}, {"length", 4096}, {"poles", 32}}},
       vandermonde_problem,
       vandermonde_truth},
      {"s4_fft_convolution",
       {{{"batch", 1}, {"channels", 1}, {"length", 1}}, {{"batch", 2}, {"channels", 3}, {"length", 50}}},
       {{{"batch", 2}, {"channels", 8}, {"length", 1000}}},
       convolution_problem,
       convolution_truth},
      {"lsh_hash_sort",
       {{{"tokens", 1}, {"dim", 8}, {"rounds", 1}, {"buckets", 2}},
        {{"tokens", 70}, {"dim", 16}, {"rounds", 2}, {"buckets", 10}}},
       {{{"tokens", 3000}, {"dim", 64}, {"rounds", 4}, {"buckets", 128}}},
       lsh_problem,
       lsh_truth,
       lsh_settle},
      {"kmeans_routing",
       {{{"tokens", 50}, {"dim", 16}, {"clusters", 3}, {"window", 10}},
        {{"tokens", 8}, {"dim", 4}, {"clusters", 1}, {"window", 8}}},
       {{{"tokens", 1000}, {"dim", 64}, {"clusters", 8}, {"window", 125}}},
       kmeans_problem,
       kmeans_truth,
       kmeans_settle},
      {"top_k_router",
       {{{"tokens", 1}, {"experts", 1}, {"k", 1}}, {{"tokens", 13}, {"experts", 40}, {"k", 8}}},
       {{{"tokens", 1000}, {"experts", 256}, {"k", 8}}, {{"tokens", 301}, {"experts", 8}, {"k", 2}}},
       router_problem,
       router_truth},
      {"quantise_fp8", small, large, fp8_problem, fp8_truth},
      {"dequantise_fp8", small, large, dequantise_problem, dequantise_truth},
      {"quantise_int8", small, large, int8_problem, int8_truth},
  };
}

}  // namespace lightcone::models::cuda
