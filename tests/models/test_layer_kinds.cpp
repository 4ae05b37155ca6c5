// SPDX-License-Identifier: Apache-2.0
// Kinds of layers beside the dense transformer, against counts written here from the papers and published totals.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
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

std::string text(const std::string& tail) {
  return "name: \"t\"\nvocabulary: 1000\nd_model: 64\ntied_embeddings: false\nnorm: RMS\nposition: NONE\nsource: "
         "\"test\"\n" +
         tail;
}
const char* const kMamba = "mamba1 { inner: 128 state: 16 dt_rank: 4 conv_kernel: 4 }";
const char* const kAttention = "attention { heads: 4 kv_heads: 2 head_dim: 16 }";

ModelSpec load_text(const std::string& tail) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "model.textproto";
  std::ofstream(file) << text(tail);
  return load_model(file.string());
}

std::string faults_of(const std::string& tail) {
  try {
    load_text(tail);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("a pattern deals the layers to the blocks and is repeated to their number") {
  const ModelSpec m = load_text("layers: 8\npattern: \"m m a\"\nblock { name: \"m\" " + std::string(kMamba) +
                                " no_mlp {} }\nblock { name: \"a\" " + kAttention +
                                " dense_mlp { gated: true d_ff: 96 activation: SILU } }\n");
  REQUIRE(m.pattern == std::vector<std::size_t>{0, 0, 1, 0, 0, 1, 0, 0});
  CHECK(m.blocks[0].layers == 6);
  CHECK(m.blocks[1].layers == 2);
  PhaseShape shape;
  shape.tokens = 10;
  const Graph graph = build_prefill(m, shape);
  REQUIRE(graph.sections.size() == 4);  // embedding, one per block, head
  CHECK(graph.sections[1].repeat() == 6);
  CHECK(graph.sections[2].repeat() == 2);
}

TEST_CASE("a pattern that names no block, or leaves one out, is refused with the names") {
  const std::string blocks = std::string("block { name: \"mamba\" ") + kMamba + " no_mlp {} }\n";
  CHECK(faults_of("layers: 4\npattern: \"mamba manba\"\n" + blocks).find("did you mean") != std::string::npos);
  CHECK(faults_of("layers: 1\npattern: \"mamba a\"\n" + blocks + "block { name: \"a\" " + kAttention + " no_mlp {} }\n")
            .find("does not name the block \"a\"") != std::string::npos);
  CHECK(faults_of("pattern: \"mamba\"\n" + blocks).find("layers: is missing") != std::string::npos);
  CHECK(faults_of("block { name: \"m\" layers: 2 no_mlp {} }\n").find("one of attention") != std::string::npos);
}

TEST_CASE("sizes that contradict each other are refused at their field") {
  const auto moe = [](const std::string& sizes) {
    return std::string("block { name: \"m\" layers: 2 ") + kAttention + " moe { " + sizes +
           " gated: true activation: SILU } }\n";
  };
  CHECK(faults_of(moe("experts: 4 top_k: 5 d_ff: 8")).find("moe.top_k: 5 is above the 4 experts") != std::string::npos);
  CHECK(faults_of(moe("experts: 4 top_k: 2 d_ff: 8 shared_gate: true")).find("shared_d_ff is not") !=
        std::string::npos);
  CHECK(faults_of("block { name: \"m\" layers: 1 no_mlp {} mamba2 { heads: 6 head_dim: 8 groups: 4 state: 16 "
                  "conv_kernel: 4 chunk: 0 } }\n")
            .find("chunk: must be from 1") != std::string::npos);
  CHECK(faults_of("block { name: \"m\" layers: 1 no_mlp {} mamba2 { heads: 6 head_dim: 8 groups: 4 state: 16 "
                  "conv_kernel: 4 chunk: 64 } }\n")
            .find("4 does not divide heads 6") != std::string::npos);
}

TEST_CASE("Mamba-1: parameters, state and operators by the paper's formulas") {
  const ModelSpec m = load_text(std::string("block { name: \"m\" layers: 3 ") + kMamba + " no_mlp {} }\n");
  const std::uint64_t d = 64, inner = 128, n = 16, rank = 4;
  const std::uint64_t layer = d * 2 * inner + inner * (4 + 1) + inner * (rank + 2 * n) + rank * inner + inner +
                              inner * n + inner + inner * d + d;
  CHECK(parameter_count(m) == 3 * layer + 2 * 1000 * d + d);
  CHECK(kv_bytes(m, 1000, NumberFormat::bf16) == Bytes(0));
  CHECK(state_bytes(m, NumberFormat::fp32) == Bytes(3 * (inner * n * 4 + inner * 3 * 2)));
  PhaseShape shape;
  shape.batch = 2;
  shape.tokens = 10;
  const Graph graph = build_prefill(m, shape);
  const auto scans = all_of_kind<SelectiveScan>(graph);
  REQUIRE(scans.size() == 1);
  CHECK(scans[0].channels == inner);
  CHECK_FALSE(scans[0].reads_state);
  std::uint64_t gemms = 0;
  for (const Gemm& g : all_of_kind<Gemm>(graph)) {
    if (g.n != 1000) gemms += g.k * g.n;
  }
  CHECK(gemms == d * 2 * inner + inner * (rank + 2 * n) + rank * inner + inner * d);
  shape.tokens = 1;
  shape.context = 5;
  CHECK(all_of_kind<SelectiveScan>(build_decode(m, shape)).at(0).reads_state);
}

TEST_CASE("latent attention expands in prefill and is absorbed in decode, with the cost of the paper") {
  const ModelSpec m = load_text(
      "block { name: \"m\" layers: 1 mla { heads: 8 query_rank: 24 kv_rank: 32 nope_dim: 16 rope_dim: 8 value_dim: 12 "
      "} "
      "no_mlp {} }\n");
  PhaseShape shape;
  shape.tokens = 20;
  const auto prefill = all_of_kind<Attention>(build_prefill(m, shape));
  REQUIRE(prefill.size() == 1);
  CHECK(prefill[0].head_dim == 24);
  CHECK(prefill[0].kv_heads == 8);
  CHECK(cost(prefill[0]).matrix_flops == Flops(2 * 8 * (20 * 21 / 2) * (24 + 12)));
  shape.tokens = 1;
  shape.context = 99;
  const Graph decode = build_decode(m, shape);
  const auto absorbed = all_of_kind<Attention>(decode);
  REQUIRE(absorbed.size() == 1);
  CHECK(cost(absorbed[0]).matrix_flops == Flops(2 * 8 * 100 * (40 + 32)));
  CHECK(cost(absorbed[0]).read_bytes == Bytes(2 * (8 * 40 + 100 * 40)));  // the latents once, for keys and values
  CHECK(all_of_kind<BatchedGemm>(decode).size() == 2);
  CHECK(kv_bytes_per_token(m, NumberFormat::bf16) == Bytes(2 * 40));
}

TEST_CASE("a mixture of experts: parameters, active ones, and operators") {
  const ModelSpec m =
      load_text(std::string("block { name: \"m\" layers: 2 ") + kAttention +
                " moe { experts: 8 top_k: 2 d_ff: 40 shared_d_ff: 30 gated: true activation: SILU } }\n");
  const std::uint64_t d = 64, attention = d * (4 + 2 * 2) * 16 + 4 * 16 * d;
  const std::uint64_t outer = 2 * 1000 * d + d;
  CHECK(parameter_count(m) == 2 * (attention + 8 * 3 * d * 40 + 3 * d * 30 + d * 8 + 2 * d) + outer);
  CHECK(active_parameter_count(m) == 2 * (attention + 2 * 3 * d * 40 + 3 * d * 30 + d * 8 + 2 * d) + outer);
  PhaseShape shape;
  shape.tokens = 50;
  const auto grouped = all_of_kind<GroupedGemm>(build_prefill(m, shape));
  REQUIRE(grouped.size() == 2);
  CHECK(cost(grouped[0]).matrix_flops + cost(grouped[1]).matrix_flops == Flops(2 * 50 * 2 * 3 * d * 40));
}

TEST_CASE("the rows of experts sum up, and no expert has a token twice") {
  for (const ExpertLoadKind kind : {ExpertLoadKind::balanced, ExpertLoadKind::random, ExpertLoadKind::zipf}) {
    for (const std::uint64_t tokens : {1u, 3u, 64u, 1000u, 30000u}) {
      GroupedGemm g{.experts = 64, .rows = tokens * 6, .n = 8, .k = 8, .top_k = 6};
      g.load.kind = kind;
      const std::vector<std::uint64_t> rows = expert_rows(g);
      CAPTURE(static_cast<int>(kind), tokens);
      CHECK(rows.size() == 64);
      CHECK(std::accumulate(rows.begin(), rows.end(), std::uint64_t{0}) == tokens * 6);
      CHECK(rows.front() <= tokens);
      CHECK(std::is_sorted(rows.rbegin(), rows.rend()));
    }
  }
}

TEST_CASE("random choices touch the expected share of the experts") {
  // E (1 - (1 - k/E)^B) experts have a token, for B tokens of k choices.
  for (const std::uint64_t tokens : {8u, 32u, 128u}) {
    GroupedGemm g{.experts = 256, .rows = tokens * 8, .n = 8, .k = 8, .top_k = 8};
    const std::vector<std::uint64_t> rows = expert_rows(g);
    const auto touched = static_cast<double>(std::count_if(rows.begin(), rows.end(), [](auto r) { return r > 0; }));
    const double expected = 256 * (1 - std::pow(1 - 8.0 / 256, static_cast<double>(tokens)));
    CAPTURE(tokens, touched, expected);
    CHECK(std::abs(touched - expected) <= 3);
  }
}

TEST_CASE("weights that layers share count once") {
  const std::string block = std::string("block { name: \"m\" layers: 5 ") + kAttention + " no_mlp {} ";
  const std::uint64_t own = parameter_count(load_text(block + "}\n"));
  const std::uint64_t shared = parameter_count(load_text(block + "shared: true }\n"));
  const std::uint64_t layer = 64 * (4 + 2 * 2) * 16 + 4 * 16 * 64 + 64;
  CHECK(own - shared == 4 * layer);
}

TEST_CASE("shared layers keep adapters and a projection of their own, and may read the embeddings too") {
  const std::uint64_t d = 64, width = 4 * 16, ff = 96, rank = 5;
  const ModelSpec m = load_text(
      "block { name: \"g\" layers: 3 shared: true attention { heads: 4 kv_heads: 4 head_dim: 16 with_embeddings: true "
      "}\n"
      "dense_mlp { gated: true d_ff: 96 activation: GELU adapter_rank: 5 own_projection: true } }\n");
  const std::uint64_t own = rank * (d + 2 * ff) + d * d;
  const std::uint64_t shared = 2 * d * 3 * width + width * d + 3 * d * ff + 3 * d;  // norms of 2 d and of d
  CHECK(parameter_count(m) == shared + 3 * own + 2 * 1000 * d + d);
  // Every use has a cache of its own.
  CHECK(kv_bytes_per_token(m, NumberFormat::bf16) == Bytes(3 * 2 * width * 2));
}

TEST_CASE("sizes whose products overflow are refused, not wrapped") {
  CHECK_THROWS_AS(cost(LinearAttention{.batch = 1u << 20,
                                       .tokens = std::uint64_t{1} << 40,
                                       .heads = 1,
                                       .value_heads = 1,
                                       .key_dim = 128,
                                       .value_dim = 128}),
                  ConfigError);
  CHECK_THROWS_AS(
      cost(SelectiveScan{.batch = 1u << 20, .tokens = std::uint64_t{1} << 40, .channels = 8192, .state = 16}),
      ConfigError);
  CHECK_THROWS_AS(cost(GroupedGemm{.experts = 8, .rows = std::uint64_t{1} << 40, .n = 1u << 20, .k = 1u << 20}),
                  ConfigError);
}
