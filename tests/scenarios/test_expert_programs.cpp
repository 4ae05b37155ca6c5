// SPDX-License-Identifier: Apache-2.0
// Kernels of mixtures of experts are well formed, do exactly the FLOPs of their operator, read at least its bytes and
// write exactly its output, whatever the library and the spread of the rows; and they run on the simulated machine.
#include "catch.h"
#include "hardware/example_gpus.h"
#include "hardware/machine/evaluate.h"
#include "hardware/simulated.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/sound_program.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;
using models::CombineRows;
using models::ExpertLoadKind;
using models::GatherRows;
using models::GroupedGemm;
using models::TopK;

namespace {

constexpr KernelLibrary kLibraries[] = {KernelLibrary::automatic, KernelLibrary::vllm, KernelLibrary::tensorrt_llm};

struct Sums {
  std::uint64_t useful = 0, executed = 0, vector = 0, loaded = 0, stored = 0;
};

Sums sound_sums(const models::Operator& op, const hardware::GpuSpec& gpu, KernelLibrary library) {
  Sums sums;
  for (const hardware::TileProgram& program : map_operator(op, gpu, {library}).kernels) {
    require_sound(program, gpu);
    const hardware::ProgramTotals totals = hardware::totals(program);
    sums.useful += totals.mma_useful.count();
    sums.executed += totals.mma_executed.count();
    sums.vector += totals.vector_flops.count();
    sums.loaded += totals.loaded.count();
    sums.stored += totals.stored.count();
  }
  return sums;
}

GroupedGemm experts(std::uint64_t count, std::uint64_t tokens, std::uint64_t top_k, std::uint64_t n, std::uint64_t k) {
  return {.experts = count, .rows = tokens * top_k, .n = n, .k = k, .top_k = top_k};
}

double analytical_us(const models::Operator& op, const hardware::GpuSpec& gpu, KernelLibrary library) {
  double us = 0;
  for (const hardware::TileProgram& program : map_operator(op, gpu, {library}).kernels) {
    us += 1e6 * hardware::evaluate_analytical(program, gpu).time.count();
  }
  return us;
}

}  // namespace

TEST_CASE("grouped products do the FLOPs of their experts and write their rows once") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    for (const KernelLibrary library : kLibraries) {
      for (const ExpertLoadKind kind : {ExpertLoadKind::balanced, ExpertLoadKind::random, ExpertLoadKind::zipf}) {
        for (const std::uint64_t tokens : {1ull, 7ull, 64ull, 500ull}) {
          GroupedGemm op = experts(16, tokens, 2, 384, 200);
          op.load.kind = kind;
          op.bias = kind == ExpertLoadKind::random;
          op.block_scaled = kind == ExpertLoadKind::zipf;
          INFO(gpu.sm.tensor.has(NumberFormat::bf16) << " tokens " << tokens);
          const models::Cost cost = models::cost(op);
          const Sums sums = sound_sums(op, gpu, library);
          REQUIRE(sums.useful == cost.matrix_flops.count());
          REQUIRE(sums.stored == cost.written_bytes.count());
          REQUIRE(sums.loaded >= (cost.read_bytes + cost.weight_bytes).count());
        }
      }
    }
  }
}

TEST_CASE("rows fetched by index and rows of other devices' experts") {
  GroupedGemm op = experts(8, 100, 4, 256, 128);
  op.rows = 150;
  op.load = {ExpertLoadKind::given, 1, {100, 30, 20}};
  op.source_rows = 100;
  op.rows_elsewhere = {90, 60, 50, 50};
  for (const KernelLibrary library : kLibraries) {
    const Sums sums = sound_sums(op, hopper(), library);
    REQUIRE(sums.useful == models::cost(op).matrix_flops.count());
    // Only Triton's kernel goes over rows that are not the device's.
    const std::uint64_t rows = library == KernelLibrary::vllm ? 400 : 150;
    REQUIRE(sums.stored == rows * op.n * 2);
  }
  REQUIRE(models::cost(op).written_bytes.count() == 400 * op.n * 2);
  op.load.rows = {101, 30, 19};  // more rows than there are tokens
  REQUIRE_THROWS_AS(map_operator(op, hopper()), ConfigError);
  op.load.rows = {100, 30, 21};
  REQUIRE_THROWS_AS(map_operator(op, hopper()), ConfigError);
  REQUIRE_THROWS_AS(map_operator(experts(4, 10, 5, 64, 64), hopper()), ConfigError);  // top_k above experts
}

TEST_CASE("weights of experts without rows are not read") {
  const GroupedGemm few = experts(64, 2, 4, 1024, 1024), many = experts(64, 64, 4, 1024, 1024);
  const hardware::GpuSpec gpu = hardware::example_h100();
  for (const KernelLibrary library : kLibraries) {
    const auto read = [&](const GroupedGemm& op) {
      return hardware::evaluate_analytical(map_operator(op, gpu, {library}).kernels[0], gpu).work.hbm_read.count();
    };
    const std::uint64_t matrix = 1024 * 1024 * 2;
    REQUIRE(read(few) >= 8 * matrix * 9 / 10);
    REQUIRE(read(few) <= 8 * matrix * 12 / 10);
    REQUIRE(read(many) >= 60 * matrix);
  }
}

TEST_CASE("the tile along the tokens follows the rows per expert, and padding is stated") {
  const hardware::GpuSpec gpu = hardware::example_h100();
  for (const KernelLibrary library : kLibraries) {
    GroupedGemm op = experts(16, 16, 2, 4096, 4096);  // two rows per expert
    op.load.kind = ExpertLoadKind::balanced;
    const Sums few = sound_sums(op, gpu, library);
    // Tiles of 16 rows hold two; mma.sync takes 8/5 of the tensor core's time.
    REQUIRE(few.executed >= 8 * few.useful);
    REQUIRE(few.executed <= 13 * few.useful);
    op.rows = 2 * 4096;
    const Sums many = sound_sums(op, gpu, library);  // 512 rows per expert: whole tiles
    REQUIRE(many.executed == many.useful);
  }
}

TEST_CASE("scales per block cost time on the lanes and nothing else") {
  const hardware::GpuSpec gpu = hardware::example_h100();
  GroupedGemm op = experts(8, 4096, 2, 2048, 4096);
  op.activation = op.weight = NumberFormat::fp8_e4m3;
  GroupedGemm scaled = op;
  scaled.block_scaled = true;
  for (const KernelLibrary library : kLibraries) {
    REQUIRE(analytical_us(scaled, gpu, library) > 1.01 * analytical_us(op, gpu, library));
    REQUIRE(sound_sums(scaled, gpu, library).useful == sound_sums(op, gpu, library).useful);
  }
}

TEST_CASE("the share of the experts that a device has is multiplied in the library's default tiles") {
  const hardware::GpuSpec gpu = hardware::example_h100();
  GroupedGemm op = experts(16, 256, 4, 1024, 1024);
  op.source_rows = 256;
  const auto tile = [&](const GroupedGemm& g) { return map_operator(g, gpu, {KernelLibrary::vllm}).note; };
  op.rows_elsewhere = {40, 20};
  REQUIRE(tile(op).find("64x64x32") != std::string::npos);
  op.experts = 512;
  REQUIRE(tile(op).find("16x32x64") != std::string::npos);
  op.rows_elsewhere.clear();
  REQUIRE(tile(op).find(", 24 plans") != std::string::npos);
}

TEST_CASE("imbalance makes experts slower") {
  const hardware::GpuSpec gpu = hardware::example_h100();
  for (const KernelLibrary library : kLibraries) {
    GroupedGemm even = experts(32, 512, 4, 1024, 2048), uneven = even;
    even.load.kind = ExpertLoadKind::balanced;
    uneven.load = {ExpertLoadKind::zipf, 1.2, {}};
    REQUIRE(analytical_us(uneven, gpu, library) > 1.05 * analytical_us(even, gpu, library));
  }
}

TEST_CASE("choice, order, copy and sum are exact") {
  const hardware::GpuSpec gpu = hopper();
  for (const std::uint64_t rows : {1ull, 3ull, 4ull, 130ull, 3000ull}) {
    for (const std::uint64_t columns : {8ull, 60ull, 2048ull}) {
      const TopK top{rows, columns, 6};
      const Sums choice = sound_sums(top, gpu, KernelLibrary::automatic);
      REQUIRE(choice.vector == models::cost(top).vector_flops.count());
      REQUIRE(choice.loaded == models::cost(top).read_bytes.count());
      REQUIRE(choice.stored == models::cost(top).written_bytes.count());

      const CombineRows sum{rows, 6, columns};
      const Sums combined = sound_sums(sum, gpu, KernelLibrary::automatic);
      REQUIRE(combined.vector == models::cost(sum).vector_flops.count());
      REQUIRE(combined.loaded == models::cost(sum).read_bytes.count());
      REQUIRE(combined.stored == models::cost(sum).written_bytes.count());

      GatherRows gather{5 * rows + 2, rows, columns};
      const auto kernels = map_operator(gather, gpu).kernels;
      for (const auto& kernel : kernels) require_sound(kernel, gpu);
      REQUIRE(stored(kernels.back()) == models::cost(gather).written_bytes.count());
      REQUIRE(hardware::totals(kernels.back()).loaded >= models::cost(gather).read_bytes);
      gather.order_only = true;  // every index read once or twice, each place written once
      const Sums order = sound_sums(gather, gpu, KernelLibrary::automatic);
      REQUIRE(order.stored == models::cost(gather).written_bytes.count());
      REQUIRE(order.loaded == 2 * models::cost(gather).read_bytes.count());
    }
  }
  const CombineRows some{100, 8, 64, NumberFormat::bf16, 250};
  const Sums sums = sound_sums(some, gpu, KernelLibrary::automatic);
  REQUIRE(sums.vector == 2 * 250 * 64);
  REQUIRE(sums.loaded == models::cost(some).read_bytes.count());
  REQUIRE(sums.stored == 100 * 64 * 2);
  REQUIRE_THROWS_AS(map_operator(TopK{4, 8, 9}, gpu), ConfigError);
  REQUIRE_THROWS_AS(map_operator(CombineRows{4, 2, 8, NumberFormat::bf16, 9}, gpu), ConfigError);
}

TEST_CASE("kernels of experts run on the simulated machine near their closed form") {
  hardware::GpuSpec gpu = hardware::example_h100();
  gpu.sm_count = 8;
  GroupedGemm op = experts(8, 64, 2, 512, 512);
  std::vector<models::Operator> operators{op, TopK{64, 8, 2}, GatherRows{128, 64, 512}, CombineRows{64, 2, 512}};
  op.source_rows = 64;
  op.rows_elsewhere = {40, 3};
  for (const KernelLibrary library : kLibraries) {
    operators[0] = op;
    for (const models::Operator& each : operators) {
      for (const hardware::TileProgram& program : map_operator(each, gpu, {library}).kernels) {
        INFO(program.name);
        const std::optional<KernelResult> simulated =
            hardware::testing::simulate(program, gpu, hardware::testing::exact());
        REQUIRE(simulated);
        const KernelResult& result = *simulated;
        REQUIRE(result.work.mma_useful == hardware::totals(program).mma_useful);
        const double estimate = hardware::evaluate_analytical(program, gpu).time.count();
        REQUIRE(result.time.count() > 0.6 * estimate);
        REQUIRE(result.time.count() < 1.6 * estimate);
      }
    }
  }
}
