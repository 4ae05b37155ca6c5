// SPDX-License-Identifier: Apache-2.0
// Costs of operators against counts made by walking over every element or pair.
#include <algorithm>
#include <cstdint>
#include <set>

#include "catch.h"
#include "models/graph/operator.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {
// The mask of the header, pair by pair.
bool sees(std::int64_t query, std::int64_t key, std::int64_t q_len, std::int64_t kv_len, bool causal,
          std::int64_t window) {
  const std::int64_t last = causal ? kv_len - q_len + query : kv_len - 1;
  return key <= last && (window == 0 || key > last - window);
}
}  // namespace

TEST_CASE("attended pairs equal a count over the mask") {
  for (const bool causal : {false, true}) {
    for (std::int64_t q = 1; q <= 9; ++q) {
      for (std::int64_t kv = 1; kv <= 12; ++kv) {
        for (std::int64_t window = 0; window <= 14; ++window) {
          std::uint64_t counted = 0;
          std::set<std::int64_t> keys;
          for (std::int64_t i = 0; i < q; ++i) {
            for (std::int64_t j = 0; j < kv; ++j) {
              if (!sees(i, j, q, kv, causal, window)) continue;
              ++counted;
              keys.insert(j);
            }
          }
          const auto u = [](std::int64_t v) { return static_cast<std::uint64_t>(v); };
          INFO("q " << q << " kv " << kv << " window " << window << " causal " << causal);
          REQUIRE(attended_pairs(u(q), u(kv), causal, u(window)) == counted);
          const Attention a{.batch = 2,
                            .heads = 6,
                            .kv_heads = 3,
                            .q_len = u(q),
                            .kv_len = u(kv),
                            .head_dim = 8,
                            .causal = causal,
                            .window = u(window)};
          const Cost c = cost(a);
          REQUIRE(c.matrix_flops.count() == 2 * 6 * counted * 8 * 4);
          REQUIRE(c.read_bytes.count() == 2 * (2 * u(q) * 6 * 8) + 2 * 2 * (2 * keys.size() * 3 * 8));
        }
      }
    }
  }
}

TEST_CASE("attention that appends reads this step's K and V as activations and writes them to the cache") {
  Attention a{.batch = 1, .heads = 4, .kv_heads = 2, .q_len = 1, .kv_len = 10, .head_dim = 16};
  a.kv = NumberFormat::fp8_e4m3;
  const Cost cached = cost(a);
  a.writes_kv_cache = true;
  const Cost appends = cost(a);
  const std::uint64_t row = 2 * 2 * 16;  // K and V of one token, elements
  REQUIRE(appends.written_bytes.count() - cached.written_bytes.count() == row);
  REQUIRE(appends.read_bytes.count() - cached.read_bytes.count() == row);  // bf16 in place of fp8
}

TEST_CASE("gemm costs are 2mnk and each matrix once") {
  const Gemm g{.m = 3, .n = 5, .k = 64, .weight = NumberFormat::mxfp4, .output = NumberFormat::fp32, .bias = true};
  const Cost c = cost(g);
  REQUIRE(c.matrix_flops == 1920_flop);
  REQUIRE(c.vector_flops == 15_flop);
  REQUIRE(c.weight_bytes == Bytes(5 * 34 + 5 * 4));
  REQUIRE(c.read_bytes == 384_B);
  REQUIRE(c.written_bytes == 60_B);
  Gemm dynamic = g;
  dynamic.weights_are_static = false;
  REQUIRE(cost(dynamic).bytes() == c.bytes());
  REQUIRE(cost(dynamic).weight_bytes == 0_B);
  const BatchedGemm b{.batch = 7, .m = 3, .n = 5, .k = 4};
  REQUIRE(cost(b).matrix_flops == Flops(7 * 120));
  REQUIRE(cost(b).read_bytes == Bytes(7 * 2 * (12 + 20)));
}

TEST_CASE("norms, softmax and elementwise operators move what they name") {
  const Cost plain = cost(Norm{.rows = 3, .columns = 8});
  const Cost fused = cost(Norm{.rows = 3, .columns = 8, .residual = true});
  REQUIRE(plain.bytes() == Bytes(2 * 48 + 16));
  REQUIRE(fused.bytes() == Bytes(4 * 48 + 16));
  REQUIRE(fused.vector_flops.count() - plain.vector_flops.count() == 24);
  REQUIRE(cost(Norm{.kind = NormKind::layer, .rows = 3, .columns = 8}).weight_bytes == 32_B);
  REQUIRE(cost(Softmax{.rows = 3, .columns = 8}).special == 24 + 3);
  const Cost silu = cost(Elementwise{.kind = ElementwiseKind::silu_mul, .elements = 10});
  REQUIRE(silu.read_bytes == 40_B);
  REQUIRE(silu.written_bytes == 20_B);
  const Cost quantize =
      cost(Elementwise{.kind = ElementwiseKind::quantize, .elements = 10, .output = NumberFormat::fp8_e4m3});
  REQUIRE(quantize.bytes() == 30_B);
}

TEST_CASE("rotary rotates its part and the cache receives whole heads") {
  Rotary r{.tokens = 5, .heads = 4, .kv_heads = 2, .head_dim = 8, .rotary_dim = 4, .kv = NumberFormat::fp8_e4m3};
  const Cost c = cost(r);
  REQUIRE(c.vector_flops.count() == 3 * 5 * 6 * 4);
  REQUIRE(c.written_bytes.count() == 2 * 5 * 6 * 4 + 2 * 5 * 2 * 8);
  REQUIRE(c.read_bytes.count() == 2 * (5 * 6 * 4 + 5 * 4 + 5 * 2 * 4 + 5 * 2 * 8));
  r.rotary_dim = 0;
  REQUIRE(kind_name(r) == "kv_append");
  REQUIRE(cost(r).read_bytes.count() == 2 * (2 * 5 * 2 * 8));
  r.writes_kv_cache = false;
  REQUIRE_THROWS_AS(cost(r), ConfigError);
}

TEST_CASE("embedding gathers rows as weights") {
  const Cost c = cost(EmbeddingGather{.tokens = 5, .vocabulary = 100, .columns = 8});
  REQUIRE(c.weight_bytes == 80_B);
  REQUIRE(c.written_bytes == 80_B);
  REQUIRE(c.read_bytes == 20_B);
  REQUIRE(cost(EmbeddingGather{.tokens = 500, .vocabulary = 100, .columns = 8}).weight_bytes == 1600_B);
  REQUIRE(cost(EmbeddingGather{.tokens = 5, .vocabulary = 100, .columns = 8, .positions = true}).flops() == 40_flop);
}

TEST_CASE("zero sizes and products over 63 bits are errors of the input") {
  REQUIRE_THROWS_WITH(cost(Gemm{.m = 0, .n = 4, .k = 0}), Catch::Contains("gemm.m") && Catch::Contains("gemm.k"));
  const std::uint64_t huge = 1ull << 32;
  REQUIRE_THROWS_AS(cost(Gemm{.m = huge, .n = huge, .k = 1}), ConfigError);
  REQUIRE_THROWS_AS(cost(Elementwise{.elements = 1ull << 60}), ConfigError);
  REQUIRE_THROWS_AS(cost(Attention{.batch = 1, .heads = 3, .kv_heads = 2, .q_len = 1, .kv_len = 1, .head_dim = 1}),
                    ConfigError);
  REQUIRE_THROWS_AS(attended_pairs(huge, huge, true, 0), ConfigError);
  REQUIRE_THROWS_AS(attended_pairs(UINT64_MAX, UINT64_MAX, true, 0), ConfigError);
}

TEST_CASE("every name an operator can have is listed with a meaning") {
  std::set<std::string> listed;
  for (const OperatorKind& kind : operator_kinds()) {
    REQUIRE(!kind.meaning.empty());
    listed.insert(kind.name);
  }
  const std::vector<Operator> all{Gemm{},
                                  BatchedGemm{},
                                  Attention{},
                                  Norm{},
                                  Norm{.kind = NormKind::layer},
                                  Softmax{},
                                  Elementwise{},
                                  CausalConv{},
                                  SelectiveScan{},
                                  LinearAttention{},
                                  LinearScan{},
                                  TopK{},
                                  GatherRows{},
                                  CombineRows{},
                                  GroupedGemm{},
                                  SparseAttention{},
                                  FftConv{},
                                  StateFilter{},
                                  SerialRecurrence{},
                                  PoolRows{},
                                  PageScores{},
                                  Sort{},
                                  Rotary{},
                                  Rotary{.rotary_dim = 2},
                                  EmbeddingGather{},
                                  Backward<Attention>{},
                                  Backward<Norm>{},
                                  Backward<Norm>{{.kind = NormKind::layer}},
                                  Backward<Softmax>{},
                                  Backward<Elementwise>{},
                                  Backward<EmbeddingGather>{},
                                  Backward<CausalConv>{},
                                  Backward<SelectiveScan>{},
                                  Backward<LinearAttention>{},
                                  Backward<LinearScan>{},
                                  Backward<TopK>{},
                                  Backward<GatherRows>{},
                                  Backward<CombineRows>{},
                                  Backward<GroupedGemm>{},
                                  ColumnSum{},
                                  CrossEntropy{},
                                  AdamW{},
                                  Communication{},
                                  Communication{.kind = CollectiveKind::reduce_scatter},
                                  Communication{.kind = CollectiveKind::all_gather},
                                  Communication{.kind = CollectiveKind::all_to_all},
                                  Communication{.kind = CollectiveKind::broadcast},
                                  Communication{.kind = CollectiveKind::send_receive}};
  std::set<std::string> named;
  std::set<std::size_t> kinds;
  for (const Operator& op : all) {
    named.insert(kind_name(op));
    kinds.insert(op.index());
  }
  REQUIRE(named == listed);
  REQUIRE(kinds.size() == std::variant_size_v<Operator>);
}
