// SPDX-License-Identifier: Apache-2.0
// lightcone validate: predictions beside measured times, error figures per source, GPU, operation and format.
#include <fmt/core.h>

#include <fstream>

#include "scenarios/cli/bench.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/machine_finder.h"
#include "scenarios/validate/error_report.h"
#include "scenarios/validate/sample.h"

namespace lightcone::scenarios {

namespace {

// Rows of all files together, sampled, without those that say nothing about an error.
std::vector<MeasuredRow> rows_to_compare(const Options& options, ValidationReport& report) {
  std::vector<MeasuredRow> rows;
  for (const std::string& input : options.inputs) {
    MeasuredTable table = read_measured(input);
    report.rows_read += table.rows.size();
    for (MeasuredRow& row : table.rows) {
      if (!row.flag.empty()) {
        ++report.rows_flagged;
      } else if (!row.time_us) {
        ++report.rows_without_time;
      } else {
        rows.push_back(std::move(row));
      }
    }
  }
  if (!options.sample || *options.sample >= rows.size()) return rows;
  std::vector<MeasuredRow> sampled;
  for (const std::size_t index : sample_indices(rows.size(), *options.sample, options.seed)) {
    sampled.push_back(std::move(rows[index]));
  }
  return sampled;
}

void write_points(const std::filesystem::path& path, const ValidationReport& report,
                  const std::vector<Prediction>& predictions) {
  std::ofstream out(path);
  out << "source,gpu,op,dtype,measured_us,predicted_us,bound_by\n";
  for (const ComparedPoint& p : report.points) {
    out << fmt::format("{},{},{},{},{},{:.4f},{}\n", p.source, p.gpu, p.op, p.dtype, p.measured_us, p.predicted_us,
                       predictions[p.row].bound_by);
  }
  if (!out.flush()) throw RunError(path.string() + ": cannot be written");
}

}  // namespace

int validate_command(const Options& options) {
  ValidationReport report;
  report.evaluator = options.fidelity;
  const std::vector<MeasuredRow> rows = rows_to_compare(options, report);
  const MachineFinder machines(options.machine);
  CommandBench bench(options);
  std::vector<OperatingPoint> points;
  points.reserve(rows.size());
  for (const MeasuredRow& row : rows) points.push_back(row.point);
  const std::vector<Prediction> predictions = predict_points(
      points, [&](const std::string& gpu) { return machines.find(gpu); }, CommandBench::settings(options),
      bench.bench());
  report.rows = &rows;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Prediction& p = predictions[i];
    if (p.state == PredictionState::predicted) {
      const OperatingPoint& point = rows[i].point;
      report.points.push_back({i, point.source, point.gpu, point.op, point.dtype, *rows[i].time_us, p.time_us});
    } else {
      ++(p.state == PredictionState::failed ? report.failed : report.unsupported)[p.note];
    }
  }
  fmt::print("{}", options.json ? to_json(report) : to_text(report));
  if (options.table) {
    std::ofstream out(*options.table);
    out << to_error_table(report, machines.names());
    if (!out.flush()) throw RunError(options.table->string() + ": cannot be written");
  }
  if (options.out) write_points(*options.out, report, predictions);
  return report.failed.empty() ? 0 : 1;
}

}  // namespace lightcone::scenarios
