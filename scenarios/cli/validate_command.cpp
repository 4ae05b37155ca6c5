// SPDX-License-Identifier: Apache-2.0
// `validate MEASURED.csv...`: predictions against measured times.
#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/run/write_run.h"
#include "scenarios/validate/error_report.h"
#include "scenarios/validate/half.h"
#include "scenarios/validate/machines.h"
#include "scenarios/validate/measured_row.h"
#include "scenarios/validate/predict.h"
#include "scenarios/validate/row_to_operator.h"
#include "scenarios/validate/sample.h"
#include "sim/base/csv.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

struct Input {
  std::vector<std::string> header;  // of the first file
  std::vector<MeasuredRow> rows;    // of all files, in order
};

Input read_all(const std::vector<std::string>& files) {
  Input input;
  for (const std::string& file : files) {
    MeasuredTable table = read_measured(file);
    if (input.header.empty()) input.header = table.header;
    if (table.header != input.header) {
      throw ConfigError(file + ": its columns differ from those of " + files.front());
    }
    std::move(table.rows.begin(), table.rows.end(), std::back_inserter(input.rows));
  }
  return input;
}

// The rows that can be compared: measured on a known machine, with a time, not flagged, of a supported op, in the half
// that is asked for.
std::vector<std::size_t> comparable(const Input& input, const Machines& machines, ValidationReport& report) {
  const std::vector<std::string>& ops = supported_measured_ops();
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < input.rows.size(); ++i) {
    const MeasuredRow& row = input.rows[i];
    if (!row.time_us) {
      ++report.rows_without_time;
    } else if (!row.flag.empty()) {
      ++report.rows_flagged;
    } else if (std::find(ops.begin(), ops.end(), row.point.op) == ops.end()) {
      ++report.unsupported["op \"" + row.point.op + "\" is not supported yet"];
    } else if (!machines.measured_on(row.point.gpu)) {
      ++report.unsupported["no machine is known for gpu \"" + row.point.gpu + "\""];
    } else if (report.half != MeasuredHalf::all && half_of(row.point) != report.half) {
      ++report.rows_other_half;
    } else {
      chosen.push_back(i);
    }
  }
  report.rows_read = input.rows.size();
  return chosen;
}

std::string points_csv(const Input& input, const std::vector<std::size_t>& chosen,
                       const std::vector<Prediction>& predictions) {
  std::vector<std::string> header = input.header;
  header.insert(header.end(), {"predicted_us", "bound_by", "prediction_note"});
  std::string text = csv_line(header);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Prediction& p = predictions[i];
    std::vector<std::string> cells = input.rows[chosen[i]].cells;
    cells.insert(cells.end(),
                 {p.state == PredictionState::predicted ? fmt::format("{:.6g}", p.time_us) : "", p.bound_by, p.note});
    text += csv_line(cells);
  }
  return text;
}

void fill(ValidationReport& report, const Input& input, const std::vector<std::size_t>& chosen,
          const std::vector<Prediction>& predictions) {
  report.rows = &input.rows;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const MeasuredRow& row = input.rows[chosen[i]];
    const Prediction& p = predictions[i];
    switch (p.state) {
      case PredictionState::predicted:
        report.points.push_back(ComparedPoint{chosen[i], row.point.source, row.point.gpu, row.point.op, row.point.dtype,
                                              *row.time_us, p.time_us});
        break;
      case PredictionState::unsupported:
        ++report.unsupported[p.note];
        break;
      case PredictionState::failed:
        ++report.failed[p.note];
        break;
    }
  }
}

}  // namespace

int validate_command(const Options& options) {
  const Input input = read_all(options.inputs);
  const Machines machines(options.machine, options.overrides);
  ValidationReport report;
  report.evaluator = options.fidelity;
  report.half = options.half;
  const std::vector<std::size_t> eligible = comparable(input, machines, report);
  std::vector<std::size_t> chosen;
  std::vector<OperatingPoint> points;
  for (const std::size_t i : sample_indices(eligible.size(), options.sample.value_or(eligible.size()), options.seed)) {
    chosen.push_back(eligible[i]);
    points.push_back(input.rows[eligible[i]].point);
  }

  const std::filesystem::path folder = options.out.value_or("runs/validate");
  if (options.out || options.plot) check_writable(folder / "points.csv");
  if (options.table) check_writable(*options.table);
  Session session(options);
  const auto lookup = [&](const std::string& gpu) { return machines.find(gpu); };
  const std::vector<Prediction> predictions =
      predict_points(points, lookup, evaluation_settings(options), session.bench());
  fill(report, input, chosen, predictions);

  if (options.out || options.plot) {
    write_file(folder / "points.csv", points_csv(input, chosen, predictions));
    write_file(folder / "errors.json", to_json(report));
    if (options.plot && !report.points.empty()) {
      const std::string trouble = draw_plots("plot_validation.py", folder);
      session.progress().note(trouble.empty() ? "plot: " + (folder / "predicted_vs_measured.png").string() : trouble);
    }
  }
  if (options.table) {
    std::map<std::string, std::string> names;
    for (const ComparedPoint& point : report.points) names[point.gpu] = machines.find(point.gpu)->gpu.name;
    write_file(*options.table, to_error_table(report, names));
  }
  print(options.json ? to_json(report) : to_text(report));
  return report.failed.empty() ? 0 : 1;
}

}  // namespace lightcone::scenarios
