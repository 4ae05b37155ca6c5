// SPDX-License-Identifier: Apache-2.0
// The shipped models: exact parameter counts, agreement with the published ones, and faults of files at their lines.
#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/load.h"
#include "sim/base/error.h"
#include "sim/base/textproto_parse.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

ModelSpec from_text(const std::string& text) {
  const auto message = new_model_message();
  const auto source = std::make_shared<SourceText>("model.textproto", text);
  const FieldLocations locations = parse_textproto(source, *message);
  return to_model_spec(*message, locations);
}

// A sound model; `kv_heads` stands in line 6.
std::string small_model(const std::string& kv_heads, const std::string& mlp = "gated: true d_ff: 64 activation: SILU") {
  return "name: \"small\"\nvocabulary: 100 d_model: 64 tied_embeddings: false\nnorm: RMS position: ROTARY\n"
         "block { name: \"layers\" layers: 2\n  attention { heads: 32\n    kv_heads: " +
         kv_heads + "\n    head_dim: 8 }\n  dense_mlp { " + mlp + " } }\nsource: \"test\"\n";
}

std::vector<Diagnostic> faults_of(const std::string& text) {
  try {
    from_text(text);
  } catch (const ConfigError& error) {
    return error.diagnostics();
  }
  return {};
}

}  // namespace

TEST_CASE("parameter counts of the shipped models are exact") {
  // The first four: sums over the tensors of the published checkpoints. GPT-3: 12 L d^2 + 13 L d + (V + P + 2) d.
  const std::uint64_t d = 12288, L = 96;
  const std::map<std::string, std::uint64_t> exact{
      {"llama3_8b", 8030261248},   {"llama3_70b", 70553706496},
      {"mistral_7b", 7241732096},  {"qwen3_8b", 8190735360},
      {"pythia_160m", 162322944},  {"pythia_410m", 405334016},
      {"pythia_1_4b", 1414647808}, {"pythia_2_8b", 2775208960},
      {"pythia_6_9b", 6857302016}, {"ministral_8b", 8019808256},
      {"llama2_7b", 6738415616},   {"lfm2_2_6b", 2569272320},
      {"rwkv7_0_1b", 191034624},   {"rwkv7_0_4b", 450767872},
      {"rwkv7_1_5b", 1527404544},  {"rwkv7_2_9b", 2947735040},
      {"mamba_130m", 129135360},   {"gpt3_175b", 12 * L * d * d + 13 * L * d + (50257 + 2048 + 2) * d}};
  for (const auto& [name, count] : exact) {
    INFO(name);
    CHECK(parameter_count(load_model(name)) == count);
  }
}

namespace {

// Published figures that lie more than 1 % off the sum over the configuration's tensors, and why.
enum class Reason { rounded, counted_otherwise };
struct Exception {
  Reason reason;
  const char* why;
};
const std::map<std::string, Exception> kExceptions{
    {"falcon_h1_3b", {Reason::rounded, "3.1B"}},
    {"based_1_3b", {Reason::rounded, "1.4B"}},
    {"griffin_7b", {Reason::rounded, "7B"}},
    {"hawk_7b", {Reason::rounded, "7B"}},
    {"qwen3_5_4b", {Reason::rounded, "4B"}},
    {"rwkv4_pile_14b", {Reason::rounded, "14B"}},
    {"granite4_h_1b", {Reason::rounded, "1.5B"}},
    {"kimi_k2", {Reason::rounded, "1T"}},
    {"zamba2_2_7b", {Reason::rounded, "2.7B"}},
    {"mamba2_1_3b", {Reason::rounded, "1.3B"}},
    {"mamba_1_4b", {Reason::rounded, "1.4B"}},
    {"mamba_2_8b", {Reason::rounded, "2.8B"}},
    {"qwen3_1_7b", {Reason::rounded, "1.7B"}},
    {"samba_1_3b", {Reason::rounded, "1.3B"}},
    {"kimi_linear_48b_a3b", {Reason::counted_otherwise, "48B is the name; the tensors of the checkpoint sum to 49.1B"}},
    {"llama4_scout", {Reason::counted_otherwise, "109B has the vision encoder"}},
};

// `value` to as many significant digits as `published` has.
double rounded_like(double value, std::uint64_t published) {
  double unit = 1;
  for (; published % 10 == 0; published /= 10) unit *= 10;
  return std::round(value / unit) * unit;
}

}  // namespace

TEST_CASE("every shipped model agrees with its published parameter count and names its source") {
  REQUIRE(list_models().size() >= 80);
  for (const std::string& name : list_models()) {
    const ModelSpec model = load_model(name);
    CHECK_FALSE(model.source.empty());
    if (model.published_parameters == 0) continue;
    const double published = static_cast<double>(model.published_parameters);
    const double counted = static_cast<double>(parameter_count(model));
    CAPTURE(name, counted, published, counted / published);
    const auto exception = kExceptions.find(name);
    if (exception == kExceptions.end()) {
      CHECK(std::abs(counted / published - 1) < 0.01);
      continue;
    }
    CHECK(std::abs(counted / published - 1) >= 0.01);  // else it is no exception any more
    if (exception->second.reason == Reason::rounded) {
      CHECK(rounded_like(counted, model.published_parameters) == published);
    } else {
      CHECK(std::abs(counted / published - 1) < 0.05);
    }
  }
}

TEST_CASE("every exception is a shipped model") {
  const std::vector<std::string> names = list_models();
  for (const auto& [name, exception] : kExceptions) {
    INFO(name << ": " << exception.why);
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  }
}

TEST_CASE("KV cache of the shipped models per token, in BF16") {
  CHECK(kv_bytes_per_token(load_model("llama3_8b"), NumberFormat::bf16).count() == 131072);
  CHECK(kv_bytes_per_token(load_model("llama3_70b"), NumberFormat::bf16).count() == 327680);
  CHECK(kv_bytes_per_token(load_model("qwen3_8b"), NumberFormat::bf16).count() == 147456);
  CHECK(kv_bytes(load_model("mistral_7b"), 100000, NumberFormat::bf16).count() == 4096ull * 131072);
}

TEST_CASE("every shipped model builds a prefill and a decode step") {
  for (const std::string& name : list_models()) {
    INFO(name);
    ModelSpec model = load_model(name);
    for (Block& block : model.blocks) block.shared = false;  // shared weights are read by every layer
    const Graph prefill = build_prefill(model, {.batch = 2, .tokens = 1024});
    if (!decodes(model)) {
      CHECK_THROWS_AS(build_decode(model, {.batch = 2, .context = 1024}), ConfigError);
      continue;
    }
    const Graph decode = build_decode(model, {.batch = 2, .context = 1024});
    CHECK(total_cost(prefill).flops() > total_cost(decode).flops());
    CHECK(total_cost(decode).weight_bytes.count() < 2 * parameter_count(model) + (1u << 30));
  }
}

TEST_CASE("faults of a model file are reported at their line") {
  REQUIRE(faults_of(small_model("8")).empty());
  const std::vector<Diagnostic> wrong = faults_of(small_model("3"));
  REQUIRE(wrong.size() == 1);
  CHECK(wrong[0].where.line == 6);
  CHECK(wrong[0].field == "block[0].attention.kv_heads");
  CHECK(wrong[0].message.find("3 does not divide heads 32") != std::string::npos);

  const std::vector<Diagnostic> relu = faults_of(small_model("8", "gated: true d_ff: 64 activation: RELU"));
  REQUIRE(relu.size() == 1);
  CHECK(relu[0].where.line == 8);
  CHECK(relu[0].field == "block[0].dense_mlp.activation");

  CHECK(faults_of(small_model("0")).size() == 1);
  CHECK(faults_of("name: \"empty\"\n").size() >= 6);  // all that is missing at once
}

TEST_CASE("an unknown model is refused with suggestions") {
  try {
    load_model("lama3_8b");
    FAIL("accepted");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("llama3_8b") != std::string::npos);
  }
}
