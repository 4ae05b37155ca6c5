// SPDX-License-Identifier: Apache-2.0
// Prefill and decode of dense transformers against closed forms that are written here from the papers.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/operators_of.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models;
using lightcone::test::all_of_kind;

namespace {

ModelSpec llama_like() {
  ModelSpec m;
  m.name = "llama_like";
  m.vocabulary = 1000;
  m.d_model = 256;
  m.blocks = {{"layers", 3, AttentionMixer{.heads = 8, .kv_heads = 2, .head_dim = 32}, DenseMlp{.d_ff = 700}}};
  return m;
}

ModelSpec gpt_like() {
  ModelSpec m;
  m.name = "gpt_like";
  m.vocabulary = 503;
  m.d_model = 96;
  m.tied_embeddings = true;
  m.norm = NormKind::layer;
  m.position = PositionKind::learned;
  m.max_positions = 64;
  const AttentionMixer attention{.heads = 6, .kv_heads = 6, .head_dim = 16, .qkv_bias = true, .output_bias = true};
  m.blocks = {{"layers", 5, attention, DenseMlp{false, 384, Activation::gelu, true}}};
  return m;
}

AttentionMixer& attention_of(ModelSpec& m) { return std::get<AttentionMixer>(m.blocks[0].mixer); }

// FLOPs of the GEMMs alone, repeats counted.
std::uint64_t gemm_flops(const Graph& graph) {
  std::uint64_t flops = 0;
  for (const Section& section : graph.sections) {
    for (const Node& node : section.in_order()) {
      if (const auto* g = std::get_if<Gemm>(&node.op)) flops += section.repeat() * 2 * g->m * g->n * g->k;
    }
  }
  return flops;
}

}  // namespace

TEST_CASE("GEMM FLOPs of a prefill equal twice the parameters of the matrices per token") {
  for (const std::uint64_t batch : {1u, 3u}) {
    for (const std::uint64_t tokens : {1u, 17u, 128u}) {
      // Llama: Wq, Wo d*d; Wk, Wv d*d/4 each; three matrices d*F. The LM head runs once per sequence.
      const std::uint64_t llama_layer = 256 * 256 * 2 + 256 * 64 * 2 + 3 * 256 * 700;
      const Graph llama = build_prefill(llama_like(), {.batch = batch, .tokens = tokens});
      REQUIRE(gemm_flops(llama) == 2 * batch * tokens * 3 * llama_layer + 2 * batch * 1000 * 256);
      if (tokens > 64) continue;
      const std::uint64_t gpt_layer = 12 * 96 * 96;
      const Graph gpt = build_prefill(gpt_like(), {.batch = batch, .tokens = tokens});
      REQUIRE(gemm_flops(gpt) == 2 * batch * tokens * 5 * gpt_layer + 2 * batch * 503 * 96);
    }
  }
}

TEST_CASE("matrix FLOPs of a prefill are those of the GEMMs and of the unmasked pairs") {
  const std::uint64_t tokens = 40;
  const Graph graph = build_prefill(llama_like(), {.batch = 2, .tokens = tokens});
  const std::uint64_t pairs = tokens * (tokens + 1) / 2;
  const std::uint64_t attention = 3 * 2 * 8 * pairs * 4 * 32;  // layers, batch, heads, pairs, QK and PV of 32 values
  REQUIRE(total_cost(graph).matrix_flops.count() == gemm_flops(graph) + attention);
}

TEST_CASE("the weights that a decode step reads are those of the model, less the embedding table") {
  const ModelSpec m = llama_like();
  const std::uint64_t batch = 4;
  const Graph graph = build_decode(m, {.batch = batch, .context = 10});
  std::uint64_t gemm_weights = 0;
  for (const Section& section : graph.sections) {
    for (const Node& node : section.in_order()) {
      if (std::holds_alternative<Gemm>(node.op)) gemm_weights += section.repeat() * cost(node.op).weight_bytes.count();
    }
  }
  const std::uint64_t norms = 256 * (2 * 3 + 1);
  REQUIRE(gemm_weights == weight_bytes(m, NumberFormat::bf16).count() - 2 * (norms + 1000 * 256));
}

TEST_CASE("parameters of a GPT follow 12 L d^2 + 13 L d + (V + P + 2) d") {
  const std::uint64_t L = 5, d = 96, V = 503, P = 64;
  REQUIRE(parameter_count(gpt_like()) == 12 * L * d * d + 13 * L * d + (V + P + 2) * d);
  REQUIRE(weight_bytes(gpt_like(), NumberFormat::bf16).count() == 2 * parameter_count(gpt_like()));
  // FP8 halves the matrices of the layers only.
  REQUIRE(weight_bytes(gpt_like(), NumberFormat::fp8_e4m3).count() == 2 * parameter_count(gpt_like()) - 12 * L * d * d);
}

TEST_CASE("norms of heads add two vectors per layer and two operators before the rotary embedding") {
  ModelSpec m = llama_like();
  const std::uint64_t without = parameter_count(m);
  attention_of(m).qk_norm = true;
  REQUIRE(parameter_count(m) == without + 3 * 2 * 32);
  const std::vector<Norm> norms = all_of_kind<Norm>(build_prefill(m, {.batch = 2, .tokens = 5}));
  const auto of_heads = [](const Norm& n) { return n.columns == 32; };
  REQUIRE(std::count_if(norms.begin(), norms.end(), of_heads) == 2);
  std::set<std::uint64_t> rows;
  for (const Norm& n : norms) {
    if (of_heads(n)) rows.insert(n.rows);
  }
  REQUIRE(rows == std::set<std::uint64_t>{2 * 5 * 8, 2 * 5 * 2});
}

TEST_CASE("KV cache: two vectors of the KV heads per layer and token, capped by the window") {
  ModelSpec m = llama_like();
  REQUIRE(kv_bytes_per_token(m, NumberFormat::bf16).count() == 3 * 2 * 2 * 32 * 2);
  REQUIRE(kv_bytes(m, 100, NumberFormat::fp8_e4m3).count() == 100 * 3 * 2 * 2 * 32);
  REQUIRE(kv_bytes(m, 0, NumberFormat::bf16).count() == 0);
  attention_of(m).window = 16;
  const std::uint64_t one = kv_bytes_per_token(m, NumberFormat::bf16).count();
  REQUIRE(kv_bytes(m, 15, NumberFormat::bf16).count() == 15 * one);
  REQUIRE(kv_bytes(m, 16, NumberFormat::bf16).count() == 16 * one);
  REQUIRE(kv_bytes(m, 17, NumberFormat::bf16).count() == 16 * one);
  // A layer without window beside it grows on.
  m.blocks.push_back({"global", 1, AttentionMixer{.heads = 8, .kv_heads = 2, .head_dim = 32}, DenseMlp{.d_ff = 700}});
  REQUIRE(kv_bytes(m, 1000, NumberFormat::bf16).count() == 16 * one + 1000 * one / 3);
}

TEST_CASE("decode attends to the context and to the new token; the window bounds the pairs") {
  ModelSpec m = llama_like();
  const Attention full = all_of_kind<Attention>(build_decode(m, {.batch = 3, .context = 99})).at(0);
  REQUIRE(full.kv_len == 100);
  REQUIRE(full.q_len == 1);
  attention_of(m).window = 16;
  const Attention capped = all_of_kind<Attention>(build_decode(m, {.batch = 3, .context = 99})).at(0);
  REQUIRE(cost(capped).matrix_flops.count() * 100 == cost(full).matrix_flops.count() * 16);
}

TEST_CASE("narrow activations are quantised before each GEMM of the layers") {
  const PhaseShape shape{
      .batch = 2, .tokens = 8, .weights = NumberFormat::fp8_e4m3, .activations = NumberFormat::fp8_e4m3};
  const Graph graph = build_prefill(llama_like(), shape);
  std::uint64_t quantised = 0;
  for (const Elementwise& e : all_of_kind<Elementwise>(graph)) {
    if (e.kind == ElementwiseKind::quantize) quantised += e.elements;
  }
  REQUIRE(quantised == 16 * (256 + 8 * 32 + 256 + 700));
  const std::vector<Gemm> gemms = all_of_kind<Gemm>(graph);
  REQUIRE(gemms.size() == 5);
  REQUIRE(gemms.front().activation == NumberFormat::fp8_e4m3);
  REQUIRE(gemms.back().weight == NumberFormat::bf16);  // the LM head
}

TEST_CASE("every operator stands after those that it needs") {
  ModelSpec m = llama_like();
  attention_of(m).qk_norm = true;
  const Graph graph = build_prefill(m, {.batch = 1, .tokens = 8});
  for (const Section& section : graph.sections) {
    const std::vector<Node> order = section.in_order();
    REQUIRE(order.size() == section.size());
    const auto place = [&](const std::string& name) {
      return std::find_if(order.begin(), order.end(), [&](const Node& n) { return n.name == name; }) - order.begin();
    };
    for (std::size_t i = 0; i < section.size(); ++i) {
      for (const Section::Index input : section.inputs(i))
        REQUIRE(place(section.node(input).name) < place(section.node(i).name));
    }
  }
}

TEST_CASE("zero, contradicting and overflowing sizes are errors of the user") {
  const PhaseShape shape{.batch = 1, .tokens = 8};
  REQUIRE_THROWS_AS(build_prefill(llama_like(), {.batch = 0, .tokens = 8}), ConfigError);
  REQUIRE_THROWS_AS(build_prefill(llama_like(), {.batch = 1, .tokens = 0}), ConfigError);
  REQUIRE_THROWS_AS(build_decode(llama_like(), {.batch = 1, .tokens = 2, .context = 8}), ConfigError);
  REQUIRE_THROWS_AS(build_decode(llama_like(), {.batch = 1, .tokens = 1, .context = 0}), ConfigError);
  REQUIRE_NOTHROW(build_prefill(gpt_like(), {.batch = 1, .tokens = 64}));
  REQUIRE_THROWS_AS(build_prefill(gpt_like(), {.batch = 1, .tokens = 65}), ConfigError);

  const std::uint64_t huge = std::uint64_t{1} << 40;
  REQUIRE_THROWS_AS(build_prefill(llama_like(), {.batch = huge, .tokens = huge}), ConfigError);
  REQUIRE_THROWS_AS(build_prefill(llama_like(), {.batch = huge, .tokens = 1024}), ConfigError);
  REQUIRE_THROWS_AS(kv_bytes(llama_like(), std::numeric_limits<std::uint64_t>::max(), NumberFormat::bf16), ConfigError);
  ModelSpec wide = llama_like();
  wide.d_model = std::uint64_t{1} << 60;
  REQUIRE_THROWS_AS(parameter_count(wide), ConfigError);

  ModelSpec wrong = llama_like();
  attention_of(wrong).kv_heads = 3;
  wrong.vocabulary = 0;
  try {
    build_prefill(wrong, shape);
    FAIL("accepted");
  } catch (const ConfigError& error) {
    REQUIRE(error.diagnostics().size() == 2);
    REQUIRE(error.diagnostics()[0].field == "vocabulary");
    REQUIRE(error.diagnostics()[1].field == "block[0].attention.kv_heads");
  }
}
