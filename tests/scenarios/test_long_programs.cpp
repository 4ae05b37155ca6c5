// SPDX-License-Identifier: Apache-2.0
// Kernels of long convolutions, serial recurrences and of what chooses keys: they do the FLOPs of their formula, write
// its output, and run on the simulated machine.
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
using models::CellKind;
using models::FftConv;
using models::PageScores;
using models::PoolRows;
using models::SerialRecurrence;
using models::Sort;
using models::StateFilter;

namespace {

// What a single kernel writes is what the formula says; several leave intermediates besides.
void require_cost(const models::Operator& op, const hardware::GpuSpec& gpu) {
  const models::Cost cost = models::cost(op);
  const Sums sums = sound_sums(op, gpu);
  REQUIRE(sums.flops() == cost.flops().count());
  if (map_operator(op, gpu).kernels.size() == 1) {
    REQUIRE(sums.stored == cost.written_bytes.count());
  } else {
    REQUIRE(sums.stored >= cost.written_bytes.count());
  }
  REQUIRE(sums.loaded >= (cost.read_bytes + cost.weight_bytes).count());
}

double seconds(const models::Operator& op, const hardware::GpuSpec& gpu) {
  double time = 0;
  for (const hardware::TileProgram& program : map_operator(op, gpu).kernels) {
    time += hardware::evaluate_analytical(program, gpu).time.count();
  }
  return time;
}

}  // namespace

TEST_CASE("pooling and page bounds visit every block, whole or cut off") {
  for (const std::uint64_t rows : {1ull, 31ull, 64ull, 1000ull}) {
    for (const std::uint64_t columns : {64ull, 1500ull}) {
      for (const bool bounds : {false, true}) {
        for (const std::uint64_t block : {16ull, 32ull}) {
          INFO("rows " << rows << " columns " << columns << " block " << block);
          require_cost(PoolRows{2, rows, columns, block, block, (rows + block - 1) / block, bounds}, hopper());
        }
        if (rows >= 32) require_cost(PoolRows{2, rows, columns, 32, 16, (rows - 32) / 16 + 1, bounds}, ampere());
      }
    }
  }
  REQUIRE_THROWS_AS(map_operator(PoolRows{1, 10, 8, 4, 4, 4}, hopper()), ConfigError);
  REQUIRE_THROWS_AS(map_operator(PoolRows{1, 10, 8, 0, 4, 2}, hopper()), ConfigError);
}

TEST_CASE("scores of pages read the bounds of a KV head for each of its query heads") {
  for (const std::uint64_t pages : {1ull, 64ull, 100ull, 4096ull}) {
    for (const std::uint64_t queries : {1ull, 3ull}) require_cost(PageScores{2, 8, 2, queries, pages, 128}, hopper());
  }
  REQUIRE_THROWS_AS(map_operator(PageScores{1, 8, 3, 1, 10, 64}, hopper()), ConfigError);
}

TEST_CASE("short rows sort within a CTA, long ones in passes of 8 bits over memory") {
  const hardware::GpuSpec gpu = hopper();
  for (const std::uint64_t columns : {1ull, 100ull, 4096ull}) require_cost(Sort{3, columns, 16}, gpu);
  require_cost(Sort{4, 65536, 22}, gpu);
  // 22 bits of keys and 2 of the rows: three moves and the count of the digits.
  REQUIRE(map_operator(Sort{4, 65536, 22}, gpu).kernels.size() == 4);
  REQUIRE(map_operator(Sort{5, 65536, 22}, gpu).kernels.size() == 5);
  REQUIRE(sound_sums(Sort{4, 65536, 22}, gpu).stored >= 3 * 8 * 4 * 65536);
  REQUIRE_THROWS_AS(map_operator(Sort{1, 10, 33}, gpu), ConfigError);
}

TEST_CASE("long convolutions stay in shared memory as long as a transform fits") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    for (const std::uint64_t tokens : {2ull, 100ull, 1024ull, 8192ull, 16384ull, 65536ull}) {
      INFO("tokens " << tokens);
      require_cost(FftConv{2, tokens, 3, tokens}, gpu);
    }
    REQUIRE(map_operator(FftConv{1, 8192, 8, 8192}, gpu).kernels.size() == 2);
    REQUIRE(map_operator(FftConv{1, 131072, 8, 131072}, gpu).kernels.size() == 8);
  }
  REQUIRE(FftConv{1, 1024, 1, 1024}.fft_size() == 2048);
  REQUIRE(FftConv{1, 1024, 1, 3}.fft_size() == 2048);
  REQUIRE(FftConv{1, 1000, 1, 20}.fft_size() == 1024);
}

TEST_CASE("filters of state spaces sum over the states for every tap or frequency") {
  for (const std::uint64_t taps : {2ull, 100ull, 1024ull, 65536ull}) {
    for (const std::uint64_t states : {1ull, 32ull}) {
      require_cost(StateFilter{4, states, taps, false}, hopper());
      require_cost(StateFilter{4, states, taps, true}, hopper());
      require_cost(StateFilter{4, states, taps, true}, ampere());
    }
  }
  REQUIRE_THROWS_AS(map_operator(StateFilter{4, 10000, 64, false}, hopper()), ConfigError);
}

TEST_CASE("serial recurrences keep their weights in the SMs where these hold them") {
  for (const CellKind cell : {CellKind::lstm, CellKind::slstm}) {
    for (const std::uint64_t width : {64ull, 1000ull, 1024ull, 4096ull}) {
      for (const std::uint64_t tokens : {1ull, 5ull}) {
        SerialRecurrence op{cell, 3, tokens, width};
        op.reads_state = tokens == 1;
        INFO("width " << width << " tokens " << tokens);
        require_cost(op, hopper());
        require_cost(op, ampere());
        op.heads = 4;
        require_cost(op, hopper());
      }
    }
  }
  const auto name_of = [](std::uint64_t width) {
    return map_operator(SerialRecurrence{CellKind::lstm, 1, 10, width}, hopper()).kernels[0].name;
  };
  REQUIRE(name_of(1024) == "serial_lstm_bf16");
  REQUIRE(name_of(4096) == "serial_lstm_bf16_streamed");  // 128 MiB of weights, 30 MB of shared memory
  REQUIRE_THROWS_AS(map_operator(SerialRecurrence{CellKind::lstm, 1000, 10, 1024}, hopper()), ConfigError);
  REQUIRE_THROWS_AS(map_operator(SerialRecurrence{CellKind::slstm, 1, 10, 1024, 3}, hopper()), ConfigError);
}

TEST_CASE("a serial recurrence takes its time per token, a long convolution as the logarithm grows") {
  const hardware::GpuSpec gpu = hardware::example_h100();
  const auto lstm = [&](std::uint64_t tokens) {
    return seconds(SerialRecurrence{CellKind::lstm, 8, tokens, 1024}, gpu);
  };
  REQUIRE((lstm(2048) - lstm(1024)) / (lstm(1024) - lstm(512)) == Approx(2).margin(0.1));
  REQUIRE((lstm(2048) - lstm(1024)) / 1024 > 1e-6);  // a round trip to the L2 cache and back at least
  const auto fft = [&](std::uint64_t tokens) { return seconds(FftConv{8, tokens, 1024, tokens}, gpu); };
  // Twice the points with one level more of butterflies, and half as many CTAs fit an SM.
  REQUIRE(fft(8192) / fft(4096) > 2.1);
  REQUIRE(fft(8192) / fft(4096) < 3);
}

TEST_CASE("the kernels run on the simulated machine, above their lower bounds") {
  hardware::GpuSpec gpu = hardware::example_h100();
  gpu.sm_count = 8;
  SerialRecurrence large{CellKind::lstm, 2, 6, 1024};
  for (const models::Operator& op : std::vector<models::Operator>{
           PoolRows{1, 100, 64, 32, 16, 5}, PageScores{1, 4, 2, 1, 100, 64}, Sort{3, 500, 12}, Sort{2, 9000, 20},
           FftConv{2, 300, 5, 300}, FftConv{1, 65536, 1, 65536}, StateFilter{3, 16, 300, false},
           StateFilter{3, 16, 300, true}, SerialRecurrence{CellKind::slstm, 2, 6, 256, 4},
           SerialRecurrence{CellKind::lstm, 2, 6, 256}, large}) {
    for (const hardware::TileProgram& program : map_operator(op, gpu).kernels) {
      INFO(program.name);
      const std::optional<KernelResult> result = hardware::testing::simulate(program, gpu, hardware::testing::exact());
      REQUIRE(result.has_value());
      const KernelResult closed = hardware::evaluate_analytical(program, gpu);
      const ResourceBounds& b = closed.bounds;
      for (const Seconds bound : {b.tensor, b.fp32, b.sfu, b.issue, b.shared, b.l2, b.hbm, b.launch}) {
        REQUIRE(bound <= result->time);
      }
      REQUIRE(result->work.vector_flops == hardware::totals(program).vector_flops);
    }
  }
}
