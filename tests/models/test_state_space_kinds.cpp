// SPDX-License-Identifier: Apache-2.0
// Layers of state spaces, long convolutions and gated recurrences: parameters, state and operators against counts
// written here, and what a decode step does in place of a convolution.
#include <fstream>
#include <string>
#include <vector>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/load.h"
#include "models/operators_of.h"
#include "sim/base/error.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::models;
using lightcone::test::all_of_kind;

namespace {

constexpr std::uint64_t kD = 64;

ModelSpec layer(const std::string& mixer) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "model.textproto";
  std::ofstream(file)
      << "name: \"t\"\nvocabulary: 1000\nd_model: 64\ntied_embeddings: true\nnorm: RMS\nposition: NONE\n"
         "block { name: \"a\" layers: 1\n"
      << mixer << "\nno_mlp {} }\nsource: \"test\"\n";
  return load_model(file.string());
}

std::string faults_of(const std::string& mixer) {
  try {
    layer(mixer);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "none";
}

// Embedding and two norms are not the mixer's.
std::uint64_t mixer_parameters(const std::string& mixer) { return parameter_count(layer(mixer)) - 1000 * kD - 2 * kD; }
std::uint64_t state(const std::string& mixer) { return state_bytes(layer(mixer), NumberFormat::fp32).count(); }
Graph prefill(const std::string& mixer, std::uint64_t tokens = 128) {
  return build_prefill(layer(mixer), {.batch = 2, .tokens = tokens});
}
Graph decode(const std::string& mixer) { return build_decode(layer(mixer), {.batch = 2, .context = 500}); }

}  // namespace

TEST_CASE("S4 and S4D convolve a prompt with a filter made of their poles and step at decode") {
  for (const bool diagonal : {false, true}) {
    const std::string mixer = diagonal ? "s4 { states: 32 diagonal: true }" : "s4 { states: 32 }";
    const Graph graph = prefill(mixer);
    REQUIRE(all_of_kind<StateFilter>(graph).at(0).cauchy == !diagonal);
    REQUIRE(all_of_kind<StateFilter>(graph).at(0).taps == 128);
    REQUIRE(all_of_kind<FftConv>(graph).at(0).fft_size() == 256);
    const LinearScan step = all_of_kind<LinearScan>(decode(mixer)).at(0);
    REQUIRE(step.states == 32);
    REQUIRE(all_of_kind<FftConv>(decode(mixer)).empty());
    REQUIRE(state(mixer) == kD * 32 * 8);  // 256 bytes a channel (facts: N = 64)
    REQUIRE(cost(step).read_bytes.count() >= 2 * state(mixer));
    REQUIRE(mixer_parameters(mixer) == 2 * kD * kD + kD * (2 * 32 + 2) + (diagonal ? 4 : 6) * 32 + 2 * kD);
  }
  REQUIRE(faults_of("s4 { states: 0 }").find("model.textproto:8") != std::string::npos);
}

TEST_CASE("a filter costs the same whatever the batch, a convolution by sequence") {
  const auto at = [](std::uint64_t batch) {
    return build_prefill(layer("s4 { states: 32 }"), {.batch = batch, .tokens = 1024});
  };
  REQUIRE(cost(all_of_kind<StateFilter>(at(1)).at(0)).flops() == cost(all_of_kind<StateFilter>(at(8)).at(0)).flops());
  const auto convolution = [&](std::uint64_t batch) {
    return cost(all_of_kind<FftConv>(at(batch)).at(0)).flops().count();
  };
  REQUIRE(convolution(9) - convolution(5) == 4 * (convolution(2) - convolution(1)));
  // 2.5 N log2 N per real transform of N = 2048; filter, there and back.
  REQUIRE(convolution(1) == kD * (3 * (5 * 2048 * 11 / 2) + 6 * 1025 + 2 * 1024));
}

TEST_CASE("LRU and S5 are a complex scan between two dense maps") {
  const Graph graph = prefill("diagonal { states: 48 }");
  const LinearScan scan = all_of_kind<LinearScan>(graph).at(0);
  REQUIRE(scan.constant);
  REQUIRE(scan.complex_values);
  REQUIRE(scan.channels == 48);
  REQUIRE(cost(scan).vector_flops.count() == 2ull * 128 * 48 * 8);
  REQUIRE(state("diagonal { states: 48 }") == 48 * 8);
  REQUIRE(mixer_parameters("diagonal { states: 48 }") == 4 * 48 * kD + 2 * kD * kD + 3 * 48 + kD + 2 * kD);
  REQUIRE(mixer_parameters("diagonal { states: 48 half_gate: true }") == 4 * 48 * kD + kD * kD + 3 * 48 + kD + kD);
}

TEST_CASE("H3 has two convolutions, of a short and of a long filter, and both states at decode") {
  const std::string h3 = "h3 { states: 32 shift: 64 }";
  const std::vector<FftConv> convolutions = all_of_kind<FftConv>(prefill(h3));
  REQUIRE(convolutions.size() == 2);
  REQUIRE(convolutions[0].taps == 64);
  REQUIRE(convolutions[1].taps == 128);
  REQUIRE(all_of_kind<CausalConv>(decode(h3)).at(0).kernel == 64);
  REQUIRE(all_of_kind<LinearScan>(decode(h3)).at(0).states == 32);
  REQUIRE(state(h3) == kD * 32 * 8 + kD * 63 * 2);
}

TEST_CASE("Hyena has no recurrence: it keeps its inputs and multiplies all of them by the filter") {
  const std::string hyena = "hyena { order: 3 filter_width: 16 position_features: 5 short_kernel: 3 }";
  const ModelSpec model = layer(hyena);
  REQUIRE(all_of_kind<FftConv>(prefill(hyena)).size() == 2);
  const std::vector<BatchedGemm> products = all_of_kind<BatchedGemm>(decode(hyena));
  REQUIRE(products.size() == 2);
  REQUIRE(products[0].k == 501);
  REQUIRE(cost(products[0]).matrix_flops.count() == 2ull * kD * 2 * 501);
  REQUIRE(kv_bytes(model, 501, NumberFormat::bf16).count() == 501 * 2 * kD * 2);
  const std::uint64_t network = 5 * 16 + 2 * 16 * 16 + 16 * 2 * kD, biases = 4 * 16 + 2 * kD;
  REQUIRE(mixer_parameters(hyena) == 5 * kD * kD + 4 * kD + kD + 4 * kD * 4 + network + biases);
  REQUIRE(faults_of("hyena { order: 1 filter_width: 16 position_features: 5 short_kernel: 3 }") != "none");
}

TEST_CASE("LSTM and sLSTM go token by token, minGRU is a scan") {
  REQUIRE(mixer_parameters("lstm { width: 96 }") == 4 * kD * 96 + 4 * 96 * 96 + 96 * kD + 4 * 96);
  REQUIRE(mixer_parameters("slstm { width: 96 heads: 4 }") == 4 * kD * 96 + 96 * 96 + 96 * kD + 5 * 96);
  REQUIRE(state("lstm { width: 96 }") == 2 * 96 * 4);
  REQUIRE(state("slstm { width: 96 heads: 4 }") == 4 * 96 * 4);
  const SerialRecurrence op = all_of_kind<SerialRecurrence>(prefill("slstm { width: 96 heads: 4 }")).at(0);
  REQUIRE(cost(op).matrix_flops.count() == 2ull * 128 * 8 * 96 * 96 / 4);  // 8 d^2 / heads a token
  REQUIRE(all_of_kind<LinearScan>(prefill("min_gru { width: 96 }")).at(0).channels == 96);
  REQUIRE(mixer_parameters("min_gru { width: 96 }") == 3 * kD * 96 + 2 * 96);
  REQUIRE(faults_of("slstm { width: 96 heads: 5 }").find("5 does not divide width 96") != std::string::npos);
}

TEST_CASE("Mamba-3 keeps the token before and its angles beside the state") {
  const std::string mamba3 = "mamba3 { heads: 4 head_dim: 32 groups: 1 state: 16 chunk: 64 }";
  const Graph graph = prefill(mamba3);
  REQUIRE(all_of_kind<LinearAttention>(graph).at(0).rule == LinearRule::ssd);
  REQUIRE(all_of_kind<CausalConv>(graph).empty());
  REQUIRE(state(mamba3) == (128 * 16 + 16 + 128 + 8) * 4);
  REQUIRE(mixer_parameters(mamba3) == kD * (2 * 128 + 2 * 16 + 3 * 4 + 8) + 128 * kD + 2 * 16 + 2 * 4 * 16 + 2 * 4);
  REQUIRE(
      faults_of("mamba3 { heads: 4 head_dim: 32 groups: 3 state: 16 chunk: 64 }").find("3 does not divide heads 4") !=
      std::string::npos);
  REQUIRE(faults_of("mamba3 { heads: 4 head_dim: 32 groups: 1 state: 15 chunk: 64 }").find("15 is odd") !=
          std::string::npos);
}

TEST_CASE("feature maps set the rows of the state") {
  const auto linear = [](const std::string& more) {
    return "linear { rule: SUM heads: 4 key_dim: 8 value_dim: 16 gate: NO_GATE norm: NO_NORM chunk: 64 " + more + " }";
  };
  REQUIRE(state(linear("")) == 4 * 8 * 16 * 4);
  REQUIRE(state(linear("features: ELU normalised: true")) == 4 * (8 * 16 + 8) * 4);
  REQUIRE(state(linear("features: TAYLOR normalised: true")) == 4 * (73 * 16 + 73) * 4);
  REQUIRE(state(linear("features: FAVOR projections: 24")) == 4 * 24 * 16 * 4);
  REQUIRE(all_of_kind<LinearAttention>(prefill(linear("features: TAYLOR"))).at(0).key_dim == 73);
  REQUIRE(all_of_kind<BatchedGemm>(prefill(linear("features: FAVOR projections: 24"))).at(0).n == 24);
  REQUIRE(mixer_parameters(linear("features: FAVOR projections: 24")) == mixer_parameters(linear("")));
  REQUIRE(faults_of(linear("features: FAVOR")).find("projections") != std::string::npos);
  REQUIRE(faults_of("linear { rule: DELTA heads: 4 key_dim: 8 value_dim: 16 gate: NO_GATE norm: NO_NORM chunk: 64 "
                    "features: ELU }")
              .find("belong to the rule SUM") != std::string::npos);
}

TEST_CASE("RWKV-5 has a constant decay, four mixes and a gate") {
  const std::string rwkv5 = "rwkv5 { heads: 4 head_dim: 16 }";
  REQUIRE(mixer_parameters(rwkv5) == 5 * kD * kD + 8 * kD);
  REQUIRE(all_of_kind<CausalConv>(prefill(rwkv5)).at(0).filters == 4);
  REQUIRE(all_of_kind<LinearAttention>(prefill(rwkv5)).at(0).rule == LinearRule::scalar_decay);
  REQUIRE(state(rwkv5) == 4 * 16 * 16 * 4 + kD * 2);
}

TEST_CASE("a short convolution without the input gate has one branch less") {
  REQUIRE(mixer_parameters("short_conv { width: 96 conv_kernel: 3 input_gate: false }") == 3 * kD * 96 + 96 * 3);
  REQUIRE(mixer_parameters("short_conv { width: 96 conv_kernel: 3 }") == 4 * kD * 96 + 96 * 3);
}
