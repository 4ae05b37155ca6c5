// SPDX-License-Identifier: Apache-2.0
// Whole static batches against the measured tables in $LIGHTCONE_MEASURED: output tokens per second and GPU of
// TensorRT-LLM's static benchmark. The ceilings lie a little above the present errors, so that a change which makes
// them worse is seen. Skipped without measurements. The cycle evaluator: --run "[cycle]" of this executable, by hand.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "catch.h"
#include "scenarios/validate/static_batch.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

struct Row {
  OperatingPoint point;
  double tokens_per_second_per_gpu = 0;
};

std::vector<Row> measured_rows() {
  std::vector<Row> rows;
  const char* folder = std::getenv("LIGHTCONE_MEASURED");  // NOLINT: single-threaded
  const std::filesystem::path file = std::filesystem::path(folder == nullptr ? "" : folder) / "e2e.csv";
  if (std::filesystem::exists(file)) {
    const MeasuredTable table = read_measured(file);
    const auto value = std::find(table.header.begin(), table.header.end(), "value") - table.header.begin();
    for (const MeasuredRow& row : table.rows) {
      const bool is_static = row.point.source.rfind("trtllm-static", 0) == 0 && row.point.op == "e2e_throughput";
      if (is_static) rows.push_back({row.point, std::stod(row.cells.at(static_cast<std::size_t>(value)))});
    }
  }
  if (rows.empty()) WARN("SKIP: no measurements; LIGHTCONE_MEASURED names no folder that holds e2e.csv");
  return rows;
}

struct Error {
  double percent = 0;  // signed, of the time
  bool grouped = false;
};

// Long generations with grouped queries are predicted up to twice as fast as measured, which is not explained. Perhaps
// that version reads K and V once per query head, not once per group: with a CTA per query head (masked_mha.h) the
// errors are -12 to -28 % instead of -29 to -53 %.
constexpr double kCeiling = 15, kGroupedCeiling = 55;
void check(const Error& error) { CHECK(std::abs(error.percent) < (error.grouped ? kGroupedCeiling : kCeiling)); }

std::vector<Error> errors(Evaluator fidelity, KernelStore& store) {
  std::vector<Error> out;
  const Evaluators evaluators = real_evaluators();
  ProcessPool pool{{2, {}}};
  Progress progress{true};
  EvaluationSettings settings;
  settings.fidelity = fidelity;
  for (const Row& row : measured_rows()) {
    const StaticBatch batch = static_batch_of(row.point);
    const StaticBatchTime time = time_static_batch(batch, settings, {evaluators, store, pool, progress});
    const std::uint64_t ranks = batch.scenario.plan.tensor;
    const auto tokens = static_cast<double>(batch.batch * batch.generated_tokens);
    const double predicted = tokens / time.total().count() / static_cast<double>(ranks);
    const bool grouped = row.point.text("model") == "LLaMA-70B" && batch.generated_tokens > 1000;
    out.push_back({100 * (row.tokens_per_second_per_gpu / predicted - 1), grouped});
    fmt::print(
        "{} {} {} tp {} batch {} {}+{}: {:.0f} tokens/s/GPU measured, {:.0f} predicted, time {:+.1f} % ({:.2f} s "
        "prefill, {:.2f} s decode, {:.1f} % communication)\n",
        row.point.gpu, row.point.text("model"), row.point.dtype, ranks, batch.batch, batch.prompt_tokens,
        batch.generated_tokens, row.tokens_per_second_per_gpu, predicted, out.back().percent, time.prefill.count(),
        time.decode.count(), 100 * (time.communication / time.total()));
  }
  return out;
}

}  // namespace

TEST_CASE("static batches in closed form lie near the measured throughput") {
  const test::TemporaryFolder folder;
  KernelStore store({folder.path(), std::chrono::seconds(10), {}});
  for (const Error& error : errors(Evaluator::analytical, store)) check(error);
}

TEST_CASE("static batches simulated cycle by cycle", "[.cycle]") {
  KernelStore store({cache_folder(), std::chrono::seconds(10), {}});
  for (const Error& error : errors(Evaluator::cycle, store)) check(error);
}
