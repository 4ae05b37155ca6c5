// SPDX-License-Identifier: Apache-2.0
// Layers of sparse attention: their operators, cache, parameters and faults, against counts written here.
#include <fstream>
#include <string>
#include <vector>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/load.h"
#include "models/operators_of.h"
#include "models/reference/mask.h"
#include "sim/base/error.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::models;
using lightcone::test::all_of_kind;

namespace {

constexpr std::uint64_t kD = 64;

// One layer; `attention` stands in line 8.
ModelSpec layer(const std::string& attention) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "model.textproto";
  std::ofstream(file)
      << "name: \"t\"\nvocabulary: 1000\nd_model: 64\ntied_embeddings: false\nnorm: RMS\nposition: LEARNED\n"
         "max_positions: 4096\nblock { name: \"a\" layers: 1 attention { heads: 4 head_dim: 16 "
      << attention << " } dense_mlp { gated: true d_ff: 96 activation: SILU } }\nsource: \"test\"\n";
  return load_model(file.string());
}

std::string faults_of(const std::string& attention) {
  try {
    layer(attention);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "none";
}

Graph prefill(const std::string& attention, std::uint64_t tokens = 512) {
  return build_prefill(layer(attention), {.batch = 2, .tokens = tokens});
}
Graph decode(const std::string& attention, std::uint64_t context = 1000) {
  return build_decode(layer(attention), {.batch = 2, .context = context});
}

std::uint64_t cache(const std::string& attention, std::uint64_t length) {
  return kv_bytes(layer(attention), length, NumberFormat::bf16).count() / 2;  // values
}
std::uint64_t more_parameters(const std::string& attention) {
  return parameter_count(layer(attention)) - parameter_count(layer("kv_heads: 4"));
}

constexpr std::uint64_t kToken = 4 * 32;  // values of K and V of a token, four KV heads

std::uint64_t matrix_flops(const Graph& graph) {
  std::uint64_t sum = 0;
  for (const Attention& op : all_of_kind<Attention>(graph)) sum += cost(op).matrix_flops.count();
  for (const SparseAttention& op : all_of_kind<SparseAttention>(graph)) sum += cost(op).matrix_flops.count();
  return sum;
}
// 4 FLOPs per pair and value of a head.
std::uint64_t of_pairs(std::uint64_t pairs) { return 2 * 4 * pairs * 4 * 16; }

}  // namespace

TEST_CASE("materialised attention writes its scores twice and multiplies every pair") {
  const Graph graph = prefill("kv_heads: 2 materialised: true");
  REQUIRE(all_of_kind<Attention>(graph).empty());
  const std::vector<BatchedGemm> products = all_of_kind<BatchedGemm>(graph);
  REQUIRE(products.size() == 2);
  std::uint64_t flops = 0;
  for (const BatchedGemm& op : products) flops += cost(op).matrix_flops.count();
  REQUIRE(flops == of_pairs(512 * 512));
  const Softmax softmax = all_of_kind<Softmax>(graph).at(0);
  REQUIRE(softmax.rows * softmax.columns == 2ull * 4 * 512 * 512);
  // Beside the tiled form: scores and probabilities are written and read, the mask's sum too.
  const std::uint64_t scores = 2ull * 2 * 4 * 512 * 512;
  REQUIRE(total_cost(graph).bytes().count() > total_cost(prefill("kv_heads: 2")).bytes().count() + 6 * scores);
  REQUIRE(all_of_kind<BatchedGemm>(decode("kv_heads: 2 materialised: true")).size() == 2);
}

TEST_CASE("a span per head: a launch for each trimmed span, a cache that is cut to it") {
  const std::string spans =
      "kv_heads: 4 span { tokens: 20 heads: 2 } span { tokens: 100 heads: 1 } span { tokens: 30 heads: 1 }";
  const std::vector<Attention> ops = all_of_kind<Attention>(prefill(spans));
  REQUIRE(ops.size() == 2);  // 20 and 30 with their ramp of 32 are 64 tokens, 100 is 192
  REQUIRE(ops[0].heads == 3);
  REQUIRE(ops[0].window == 64);
  REQUIRE(ops[1].heads == 1);
  REQUIRE(ops[1].window == 192);
  REQUIRE(cache(spans, 1000) == (3 * 64 + 192) * 32);
  REQUIRE(more_parameters(spans) == 4);
  REQUIRE(faults_of("kv_heads: 4 span { tokens: 20 heads: 3 }").find("3 are given for 4 heads") != std::string::npos);
  REQUIRE(faults_of("kv_heads: 2 span { tokens: 20 heads: 4 }").find("a span per head needs keys for each head") !=
          std::string::npos);
}

TEST_CASE("fixed patterns have the pairs of their masks in a layer too") {
  using namespace reference;
  REQUIRE(matrix_flops(prefill("kv_heads: 4 window: 100 sink_keys { sinks: 4 }")) ==
          of_pairs(pairs(sink_window_mask(512, 512, 4, 100))));
  REQUIRE(matrix_flops(prefill("kv_heads: 4 fixed_keys { stride: 64 summary: 8 }")) ==
          of_pairs(pairs(fixed_mask(512, 64, 8))));
  for (const Index tokens : {512, 500}) {
    const std::uint64_t both = pairs(strided_mask(tokens, 32)) + pairs(window_mask(tokens, tokens, 32));
    REQUIRE(2 * matrix_flops(prefill("kv_heads: 4 strided_keys { stride: 32 }", static_cast<std::uint64_t>(tokens))) ==
            of_pairs(both));
  }
  const std::string big_bird = "kv_heads: 4 bidirectional: true big_bird_keys { block: 32 random: 3 }";
  REQUIRE(matrix_flops(prefill(big_bird)) ==
          of_pairs(pairs(mask_of(bigbird_blocks(16, 3, 1), 512, 512, 32, 32, false))));
  // Longformer's global queries are computed by their own projections: once with the window, once with every key.
  const std::string longformer = "kv_heads: 4 bidirectional: true longformer_keys { one_sided: 16 global: 2 }";
  const std::uint64_t band =
      pairs(longformer_mask(512, 16, 1, {0, 1})) - 2 * (512 - 17) + 1;  // without the global rows
  REQUIRE(matrix_flops(prefill(longformer)) == of_pairs(band + 2 * 512));
  REQUIRE(more_parameters(longformer) == 3 * kD * kD);
  REQUIRE_THROWS_AS(decode(longformer), ConfigError);
  REQUIRE(cache("kv_heads: 4 window: 100 sink_keys { sinks: 4 }", 1000) == 104 * kToken);
}

TEST_CASE("NSA has three branches, scores its blocks and keeps compressed keys") {
  const std::string nsa =
      "kv_heads: 1 nsa_keys { compress_block: 32 compress_stride: 16 block: 64 selected: 4 window: 128 }";
  const Graph graph = prefill(nsa);
  const std::vector<SparseAttention> sparse = all_of_kind<SparseAttention>(graph);
  REQUIRE(sparse.size() == 3);
  REQUIRE(sparse[0].kv_len == (512 - 32) / 16 + 1);
  REQUIRE(sparse[1].scored_block == 64);
  REQUIRE(sparse[2].keys.chosen == 1);
  REQUIRE(all_of_kind<TopK>(graph).at(0).rows == 2 * 512);
  REQUIRE(all_of_kind<Attention>(graph).at(0).window == 128);
  REQUIRE(all_of_kind<PoolRows>(graph).at(0).blocks == 31);
  REQUIRE(cache(nsa, 1000) == (1000 + (1000 - 32) / 16 + 1) * 32);
  // Decode: the tokens of the paper's table 4, S / 16 + n blocks + the window.
  const std::vector<SparseAttention> step = all_of_kind<SparseAttention>(decode(nsa, 1023));
  REQUIRE(attended_pairs(step[0]) == (1024 - 32) / 16 + 1);
  REQUIRE(attended_pairs(step[2]) == 4 * 64);
  REQUIRE(matrix_flops(prefill(nsa, 20)) > 0);  // too short for a compressed key
  REQUIRE(faults_of("kv_heads: 1 nsa_keys { compress_block: 32 compress_stride: 16 block: 64 selected: 65 window: 8 }")
              .find("65 is above the 64 blocks of 64 tokens that max_positions 4096 has") != std::string::npos);
  REQUIRE(faults_of("kv_heads: 1 nsa_keys { compress_block: 32 compress_stride: 5 block: 64 selected: 2 window: 8 }")
              .find("5 does not divide") != std::string::npos);
}

TEST_CASE("MoBA counts the pairs of its masks, gathers the queries, and decodes densely") {
  for (const std::uint64_t tokens : {512ull, 500ull}) {
    const std::string moba = "kv_heads: 2 moba_keys { block: 64 top_k: 3 }";
    const SparseAttention op{.batch = 1,
                             .heads = 1,
                             .kv_heads = 1,
                             .q_len = tokens,
                             .kv_len = tokens,
                             .head_dim = 16,
                             .keys = {.block = 64, .local = 1, .chosen = 2, .per_query = true}};
    const Graph graph = prefill(moba, tokens);
    REQUIRE(matrix_flops(graph) == of_pairs(attended_pairs(op)));
    REQUIRE(all_of_kind<TopK>(graph).at(0).k == 3);
    REQUIRE(all_of_kind<GatherRows>(graph).size() == 1);
    REQUIRE(all_of_kind<Attention>(decode(moba)).at(0).kv_len == 1001);
  }
  REQUIRE(cache("kv_heads: 2 moba_keys { block: 64 top_k: 3 }", 1000) == 1000 * 64 + 16 * 2 * 16);
  REQUIRE(faults_of("kv_heads: 2 moba_keys { block: 0 top_k: 3 }").find("block: must be from 1") != std::string::npos);
}

TEST_CASE("index heads and page bounds choose blocks at the price of reading all of their keys") {
  const std::string indexed = "kv_heads: 2 indexed_keys { index_heads: 2 index_dim: 8 block: 64 top_k: 4 }";
  const Graph graph = prefill(indexed);
  const std::vector<SparseAttention> sparse = all_of_kind<SparseAttention>(graph);
  REQUIRE(cost(sparse.at(0)).matrix_flops.count() == 2ull * 2 * 2 * (512 * 513 / 2) * 8);
  REQUIRE(sparse.at(1).keys.chosen == 3);
  REQUIRE(more_parameters(indexed) + 2 * 2 * 16 * kD == 3 * 8 * kD);  // two KV heads fewer
  REQUIRE(cache(indexed, 1000) == 1000 * (64 + 8));
  REQUIRE(faults_of("kv_heads: 2 indexed_keys { index_heads: 4 index_dim: 8 block: 64 top_k: 4 }")
              .find("4 differs from kv_heads 2") != std::string::npos);

  const std::string quest = "kv_heads: 2 quest_keys { page: 16 top_pages: 8 }";
  const Graph step = decode(quest, 1023);
  REQUIRE(all_of_kind<PageScores>(step).at(0).pages == 64);
  REQUIRE(attended_pairs(all_of_kind<SparseAttention>(step).at(0)) == 8 * 16);
  REQUIRE(all_of_kind<Attention>(prefill(quest)).size() == 1);  // dense
  // 1/page of the cache for the bounds and the chosen pages: Quest section 3.5.
  REQUIRE(cache(quest, 1024) == 1024 * 64 + 2 * 64 * 2 * 16);
}

TEST_CASE("hashing and clustering sort, gather, attend in groups and put back") {
  const std::string lsh = "kv_heads: 4 lsh_keys { rounds: 2 bucket: 64 }";
  const Graph hashed = prefill(lsh);
  const Attention chunks = all_of_kind<Attention>(hashed).at(0);
  REQUIRE(chunks.batch == 2 * 2 * 8);
  REQUIRE(chunks.kv_len == 128);
  REQUIRE(cost(chunks).matrix_flops.count() == of_pairs(2 * 512 * 128));  // rounds x T x two chunks
  REQUIRE(all_of_kind<BatchedGemm>(hashed).at(0).n == 2 * 4);
  REQUIRE(all_of_kind<Sort>(hashed).at(0).columns == 2 * 512);
  REQUIRE(parameter_count(layer("kv_heads: 4")) - parameter_count(layer(lsh)) == kD * kD);  // Q and K are one
  REQUIRE(all_of_kind<Attention>(decode(lsh)).at(0).kv_len == 1001);

  const std::string routed = "kv_heads: 4 routed_keys { clusters: 8 }";
  const Attention clusters = all_of_kind<Attention>(prefill(routed)).at(0);
  REQUIRE(clusters.batch == 2 * 8);
  REQUIRE(cost(clusters).matrix_flops.count() == of_pairs(8 * 64 * 65));
  REQUIRE(more_parameters(routed) == 4 * 8 * 3 * 16);

  const std::string former = "kv_heads: 4 bidirectional: true cluster_keys { clusters: 16 segment: 128 }";
  REQUIRE(matrix_flops(prefill(former)) == of_pairs(4 * 128 * 128));
  REQUIRE(matrix_flops(prefill(former, 500)) == of_pairs(3 * 128 * 128 + 116 * 116));
  REQUIRE(faults_of("kv_heads: 2 lsh_keys { rounds: 2 bucket: 64 }").find("hashing needs keys for each head") !=
          std::string::npos);
  REQUIRE(faults_of("kv_heads: 4 cluster_keys { clusters: 16 segment: 128 }").find("must be true") !=
          std::string::npos);
  REQUIRE(faults_of("kv_heads: 4 lsh_keys { rounds: 2 bucket: 64 } routed_keys { clusters: 8 }")
              .find("model.textproto:8") != std::string::npos);
}
