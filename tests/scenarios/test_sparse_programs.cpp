// SPDX-License-Identifier: Apache-2.0
// Kernels of sparse attention count exactly the pairs of their pattern, write the output once, and run on the simulated
// machine; their time follows the keys that are seen and not the length of the sequence.
#include <vector>

#include "hardware/example_gpus.h"
#include "hardware/simulated.h"
#include "models/graph/operator.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/operator_sums.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;
using models::KeyPattern;
using models::SparseAttention;

namespace {

struct Named {
  const char* name;
  KeyPattern keys;
  bool causal = true;
};
const std::vector<Named> kPatterns{
    {"sinks and window", {.window = 200, .first = 4}},
    {"fixed", {.block = 128, .local = 1, .summary = 16}},
    {"Longformer", {.window = 65, .first = 2, .global_rows = true}, false},
    {"BigBird", {.block = 64, .local = 2, .first = 1, .last = 1, .global_rows = true, .chosen = 3}, false},
    {"BigBird of 16", {.block = 16, .local = 2, .first = 1, .last = 1, .global_rows = true, .chosen = 3}, false},
    {"NSA", {.block = 64, .local = 2, .first = 1, .chosen = 3, .per_query = true}},
    {"Quest", {.block = 16, .local = 1, .chosen = 7, .per_query = true, .per_head = true}},
};

SparseAttention operation(const Named& pattern, std::uint64_t q_len, std::uint64_t kv_len, std::uint64_t group) {
  SparseAttention op;
  op.batch = 2;
  op.heads = 2 * group;
  op.kv_heads = 2;
  op.q_len = q_len;
  op.kv_len = kv_len;
  op.head_dim = 64;
  op.keys = pattern.keys;
  op.causal = pattern.causal;
  return op;
}

double seconds(const models::Operator& op, const hardware::GpuSpec& gpu) {
  double time = 0;
  for (const hardware::TileProgram& program : map_operator(op, gpu).kernels) {
    time += hardware::evaluate_analytical(program, gpu).time.count();
  }
  return time;
}

}  // namespace

TEST_CASE("kernels of every pattern count its pairs and write the output") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    for (const Named& pattern : kPatterns) {
      for (const std::uint64_t tokens : {64ull, 100ull, 700ull, 2048ull}) {
        for (const std::uint64_t group : {1ull, 4ull}) {
          const SparseAttention op = operation(pattern, tokens, tokens, group);
          INFO(pattern.name << " tokens " << tokens << " group " << group);
          const models::Cost cost = models::cost(op);
          const Sums sums = sound_sums(op, gpu);
          REQUIRE(sums.matrix == cost.matrix_flops.count());
          REQUIRE(sums.vector == cost.vector_flops.count());
          REQUIRE(sums.stored == cost.written_bytes.count());
        }
      }
    }
  }
}

TEST_CASE("a decode step of a pattern splits its keys and counts them once") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    for (const Named& pattern : kPatterns) {
      if (!pattern.causal) continue;
      for (const std::uint64_t length : {1ull, 130ull, 5000ull}) {
        const SparseAttention op = operation(pattern, 1, length, 4);
        INFO(pattern.name << " length " << length);
        const models::Cost cost = models::cost(op);
        const Sums sums = sound_sums(op, gpu);
        REQUIRE(sums.flops() == cost.flops().count());
        REQUIRE(sums.stored >= cost.written_bytes.count());
        REQUIRE(sums.loaded + 4096 >= cost.read_bytes.count());
      }
    }
  }
}

TEST_CASE("compressed keys are seen block by block as the sequence grows") {
  SparseAttention op = operation({"compressed", {.step = 16, .span = 32}}, 3000, (3000 - 32) / 16 + 1, 4);
  op.tokens = 3000;
  const Sums sums = sound_sums(op, hopper());
  REQUIRE(sums.flops() == models::cost(op).flops().count());
  REQUIRE(sums.stored == models::cost(op).written_bytes.count());
}

TEST_CASE("scores alone leave out the values, and are summed per block over the heads of a query's own tile") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    for (const std::uint64_t tokens : {1ull, 100ull, 700ull}) {
      for (const bool per_query : {false, true}) {
        SparseAttention op = operation({"scores", {.per_query = per_query}}, tokens, 700, 4);
        op.scored_block = 64;
        INFO("tokens " << tokens << " per query " << per_query);
        const models::Cost cost = models::cost(op);
        const Sums sums = sound_sums(op, gpu);
        REQUIRE(cost.matrix_flops.count() == 2 * 2 * 8 * models::attended_pairs(op) * 64);
        REQUIRE(sums.matrix == cost.matrix_flops.count());
        REQUIRE(sums.vector == cost.vector_flops.count());
        REQUIRE(sums.stored == cost.written_bytes.count());
        REQUIRE(sums.stored == 2 * tokens * (per_query ? 2 : 8) * 11 * 4);
      }
    }
  }
}

TEST_CASE("a window costs by its width: half the keys of a dense prefix, twice the length, twice the time") {
  const hardware::GpuSpec gpu = hardware::example_h100();
  const auto at = [&](std::uint64_t tokens) {
    return seconds(operation({"window", {.window = 1024, .first = 4}}, tokens, tokens, 4), gpu);
  };
  REQUIRE(at(32768) / at(16384) == Approx(2).margin(0.25));
  models::Attention dense;
  dense.batch = 2;
  dense.heads = 8;
  dense.kv_heads = 2;
  dense.q_len = dense.kv_len = 32768;
  dense.head_dim = 64;
  REQUIRE(at(32768) < 0.2 * seconds(dense, gpu));
  // With no pattern at all the work is that of dense attention.
  const double all = seconds(operation({"all", {}}, 8192, 8192, 4), gpu);
  dense.q_len = dense.kv_len = 8192;
  REQUIRE(all / seconds(dense, gpu) == Approx(1).margin(0.15));
}

TEST_CASE("sparse kernels run on the simulated machine, above their lower bounds") {
  hardware::GpuSpec gpu = hardware::example_h100();
  gpu.sm_count = 8;
  for (const Named& pattern : kPatterns) {
    for (const std::uint64_t tokens : {1ull, 300ull}) {
      if (tokens == 1 && !pattern.causal) continue;
      for (const hardware::TileProgram& program : map_operator(operation(pattern, tokens, 300, 2), gpu).kernels) {
        INFO(pattern.name << " " << program.name);
        const std::optional<KernelResult> result =
            hardware::testing::simulate(program, gpu, hardware::testing::exact());
        REQUIRE(result.has_value());
        const KernelResult closed = hardware::evaluate_analytical(program, gpu);
        const ResourceBounds& b = closed.bounds;
        for (const Seconds bound : {b.tensor, b.fp32, b.sfu, b.issue, b.shared, b.l2, b.hbm, b.launch}) {
          REQUIRE(bound <= result->time);
        }
        REQUIRE(result->work.mma_useful == hardware::totals(program).mma_useful);
      }
    }
  }
}

TEST_CASE("what no kernel takes is refused") {
  SparseAttention op = operation(kPatterns[0], 64, 64, 1);
  op.head_dim = 512;
  REQUIRE_THROWS_AS(map_operator(op, hopper()), ConfigError);
  op.head_dim = 64;
  op.value_dim = 32;
  REQUIRE_THROWS_AS(map_operator(op, hopper()), ConfigError);
}
