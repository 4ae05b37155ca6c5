// SPDX-License-Identifier: Apache-2.0
// Predictions against the measured tables in $LIGHTCONE_MEASURED, per machine and op: relative errors of points of at
// least ten microseconds that the data does not flag. The ceilings lie a little above the present errors (in-sample),
// so that a change which makes a class worse is seen; whoever makes it better lowers them. Skipped without
// measurements.
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "scenarios/run/evaluate_kernels.h"
#include "scenarios/validate/error_summary.h"
#include "scenarios/validate/machines.h"
#include "scenarios/validate/predict.h"
#include "scenarios/validate/row_to_operator.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

constexpr std::size_t kEveryRow = 10;  // of the closed form's sample
constexpr std::size_t kFewest = 10;    // points of a class that has a ceiling

// Percent of the measured time.
struct Ceiling {
  std::string machine;
  std::string op;
  double median, mean;
};

struct Measured {
  Machines machines{"auto", {}};
  // Of known machines and supported ops, unflagged, long enough, in order of file and line.
  std::vector<MeasuredRow> rows;

  Measured() {
    const char* folder = std::getenv("LIGHTCONE_MEASURED");  // NOLINT: single-threaded
    std::vector<std::filesystem::path> files;
    if (folder != nullptr && std::filesystem::is_directory(folder)) {
      for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".csv") files.push_back(entry.path());
      }
    }
    std::sort(files.begin(), files.end());
    const std::vector<std::string>& ops = supported_measured_ops();
    for (const auto& file : files) {
      for (MeasuredRow& row : read_measured(file).rows) {
        const bool known = std::find(ops.begin(), ops.end(), row.point.op) != ops.end() &&
                           machines.measured_on(row.point.gpu) && row.flag.empty();
        if (known && row.time_us && *row.time_us >= kShortPointUs) rows.push_back(std::move(row));
      }
    }
    if (rows.empty()) WARN("SKIP: no measurements; LIGHTCONE_MEASURED names no folder that holds them");
  }
};

std::vector<ComparedPoint> compare(const Measured& measured, const std::vector<std::size_t>& chosen,
                                   Evaluator fidelity) {
  std::vector<OperatingPoint> points;
  for (const std::size_t i : chosen) points.push_back(measured.rows[i].point);
  EvaluationSettings settings;
  settings.fidelity = fidelity;
  const test::TemporaryFolder folder;
  const Evaluators evaluators = real_evaluators();
  KernelStore store({folder.path(), std::chrono::seconds(10), {}});
  ProcessPool pool{{2, {}}};
  Progress progress{true};
  const std::vector<Prediction> predictions =
      predict_points(points, [&](const std::string& gpu) { return measured.machines.find(gpu); }, settings,
                     {evaluators, store, pool, progress});
  std::vector<ComparedPoint> compared;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Prediction& p = predictions[i];
    INFO(points[i].gpu << " " << points[i].op << " " << points[i].dtype << ": " << p.note);
    REQUIRE(p.state != PredictionState::failed);
    if (p.state != PredictionState::predicted) continue;
    compared.push_back({chosen[i], points[i].source, measured.machines.find(points[i].gpu)->gpu.name, points[i].op,
                        points[i].dtype, *measured.rows[chosen[i]].time_us, p.time_us});
  }
  return compared;
}

void require_below(const std::vector<ComparedPoint>& points, const std::vector<Ceiling>& ceilings) {
  std::map<std::pair<std::string, std::string>, std::vector<const ComparedPoint*>> classes;
  for (const ComparedPoint& p : points) classes[{p.gpu, p.op}].push_back(&p);
  std::string figures;
  std::map<std::pair<std::string, std::string>, ErrorStatistics> errors;
  for (const auto& [key, members] : classes) {
    const ErrorStatistics& s = errors[key] = error_statistics(members);
    figures += fmt::format("{{\"{}\", \"{}\", {:.1f}, {:.1f}}},  // {} points\n", key.first, key.second,
                           100 * s.median_absolute, 100 * s.mean_absolute, s.count);
  }
  INFO("present figures:\n" << figures);
  for (const Ceiling& c : ceilings) {
    INFO(c.machine << " " << c.op);
    const auto found = errors.find({c.machine, c.op});
    REQUIRE(found != errors.end());
    CHECK(100 * found->second.median_absolute <= c.median);
    CHECK(100 * found->second.mean_absolute <= c.mean);
  }
  for (const auto& [key, s] : errors) {
    INFO(key.first << " " << key.second << " has no ceiling");
    const bool listed = std::any_of(ceilings.begin(), ceilings.end(),
                                    [&](const Ceiling& c) { return c.machine == key.first && c.op == key.second; });
    CHECK((listed || s.count < kFewest));
  }
}

}  // namespace

TEST_CASE("closed form: errors per machine and op stay below their ceilings") {
  const Measured measured;
  if (measured.rows.empty()) return;
  std::vector<std::size_t> chosen;
  std::map<std::pair<std::string, std::string>, std::size_t> passed;  // so that a class keeps its rows when others grow
  for (std::size_t i = 0; i < measured.rows.size(); ++i) {
    const OperatingPoint& point = measured.rows[i].point;
    if (passed[{point.gpu, point.op}]++ % kEveryRow == 0) chosen.push_back(i);
  }
  require_below(compare(measured, chosen, Evaluator::analytical),
                {
                    {"A100 PCIe 40GB", "bmm", 17.0, 21.0},
                    {"A100 PCIe 40GB", "elementwise", 4.8, 7.2},
                    {"A100 PCIe 40GB", "gemm", 8.3, 11.4},
                    {"A100 PCIe 40GB", "layernorm", 38.0, 38.5},
                    {"A100 PCIe 40GB", "softmax", 11.3, 16.9},
                    {"A100 PCIe 80GB", "bmm", 15.9, 20.2},
                    {"A100 PCIe 80GB", "elementwise", 4.8, 4.6},
                    {"A100 PCIe 80GB", "gemm", 7.8, 7.5},
                    {"A40 48GB", "elementwise", 20.8, 16.1},
                    {"A40 48GB", "gemm", 8.0, 9.2},
                    {"L4 24GB", "bmm", 21.7, 24.3},
                    {"L4 24GB", "elementwise", 11.0, 11.4},
                    {"L4 24GB", "gemm", 12.7, 14.7},
                    {"A100 SXM4 80GB", "all_reduce", 14.0, 21.2},
                    {"A100 SXM4 80GB", "attention_decode", 11.2, 13.4},
                    {"A100 SXM4 80GB", "attention_prefill", 9.6, 11.3},
                    {"A100 SXM4 80GB", "bmm", 12.7, 15.0},
                    {"A100 SXM4 80GB", "causal_conv1d", 44.9, 41.0},
                    {"A100 SXM4 80GB", "elementwise", 17.4, 18.1},
                    {"A100 SXM4 80GB", "gemm", 11.3, 20.9},
                    {"A100 SXM4 80GB", "mla_decode", 14.1, 16.5},
                    {"A100 SXM4 80GB", "mla_prefill", 23.6, 20.8},
                    {"A100 SXM4 80GB", "moe", 29.0, 31.0},
                    {"A100 SXM4 80GB", "send_recv", 66.0, 54.0},
                    {"B200 SXM 180GB", "all_reduce", 9.2, 14.0},
                    {"B200 SXM 180GB", "attention_decode", 14.7, 19.4},
                    {"B200 SXM 180GB", "attention_prefill", 19.8, 21.6},
                    {"B200 SXM 180GB", "bmm", 15.9, 22.0},
                    {"B200 SXM 180GB", "causal_conv1d", 13.2, 16.2},
                    {"B200 SXM 180GB", "gemm", 19.9, 31.7},
                    {"B200 SXM 180GB", "linear_attention", 31.3, 50.0},
                    {"B200 SXM 180GB", "mla_decode", 16.9, 21.7},
                    {"B200 SXM 180GB", "mla_prefill", 15.5, 19.1},
                    {"B200 SXM 180GB", "moe", 36.5, 35.0},
                    {"H100 SXM5 80GB", "all_reduce", 9.2, 14.8},
                    {"H100 SXM5 80GB", "attention_decode", 12.3, 16.0},
                    {"H100 SXM5 80GB", "attention_prefill", 16.5, 17.5},
                    {"H100 SXM5 80GB", "bmm", 22.9, 36.8},
                    {"H100 SXM5 80GB", "causal_conv1d", 19.0, 19.8},
                    {"H100 SXM5 80GB", "elementwise", 4.8, 6.4},
                    {"H100 SXM5 80GB", "gemm", 10.2, 19.3},
                    {"H100 SXM5 80GB", "linear_attention", 13.0, 17.8},
                    {"H100 SXM5 80GB", "mla_decode", 10.4, 11.8},
                    {"H100 SXM5 80GB", "mla_prefill", 15.1, 19.3},
                    {"H100 SXM5 80GB", "moe", 23.0, 24.5},
                    {"H100 SXM5 80GB", "send_recv", 24.0, 28.2},
                });
}

TEST_CASE("closed form: every published time of attention forward and backward together") {
  const Measured measured;
  if (measured.rows.empty()) return;
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < measured.rows.size(); ++i) {
    if (measured.rows[i].point.op == "attention_fwd_bwd") chosen.push_back(i);
  }
  require_below(
      compare(measured, chosen, Evaluator::analytical),
      {{"A100 SXM4 80GB", "attention_fwd_bwd", 9.0, 9.3}, {"H100 SXM5 80GB", "attention_fwd_bwd", 11.3, 11.4}});
}

TEST_CASE("no measured row of a known machine is lost: each is predicted, or its reason is a known one") {
  const Measured measured;
  if (measured.rows.empty()) return;
  std::map<std::string, std::size_t> reasons;
  for (const MeasuredRow& row : measured.rows) {
    const RowMapping mapping = map_row(row.point);
    if (!mapping.mapped) ++reasons[mapping.reason];
  }
  for (const auto& [reason, count] : reasons) {
    INFO(count << " rows: " << reason);
    bool known = false;
    for (const char* part : {"ladder", "Triton", "FlashInfer's fused kernel", "the state after each of several tokens",
                             "the host's lists of chunks", "the host's launches", "have no tile program",
                             "the host's calls", "different lengths around a ring"}) {
      known = known || reason.find(part) != std::string::npos;
    }
    CHECK(known);
  }
}
