// SPDX-License-Identifier: Apache-2.0
// lightcone predict: the rows of a CSV, in order, with the predicted time, what bounds it, and a note. A row without a
// prediction keeps an empty time and says why.
#include <fmt/core.h>

#include <fstream>
#include <iostream>

#include "scenarios/cli/bench.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/machine_finder.h"
#include "sim/base/csv.h"

namespace lightcone::scenarios {

namespace {
void write_rows(std::ostream& out, const MeasuredTable& table, const std::vector<Prediction>& predictions) {
  std::vector<std::string> header = table.header;
  header.insert(header.end(), {"predicted_us", "bound_by", "prediction_note"});
  out << csv_line(header) << '\n';
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Prediction& p = predictions[i];
    std::vector<std::string> cells = table.rows[i].cells;
    const bool predicted = p.state == PredictionState::predicted;
    cells.insert(cells.end(), {predicted ? fmt::format("{:.4f}", p.time_us) : "", p.bound_by, p.note});
    out << csv_line(cells) << '\n';
  }
}
}  // namespace

int predict_command(const Options& options) {
  const MeasuredTable table = read_measured(options.inputs.front());
  const MachineFinder machines(options.machine);
  CommandBench bench(options);
  std::vector<OperatingPoint> points;
  points.reserve(table.rows.size());
  for (const MeasuredRow& row : table.rows) points.push_back(row.point);
  const std::vector<Prediction> predictions = predict_points(
      points, [&](const std::string& gpu) { return machines.find(gpu); }, CommandBench::settings(options),
      bench.bench());
  if (options.out) {
    std::ofstream out(*options.out);
    write_rows(out, table, predictions);
    if (!out.flush()) throw RunError(options.out->string() + ": cannot be written");
  } else {
    write_rows(std::cout, table, predictions);
  }
  for (const Prediction& p : predictions) {
    if (p.state == PredictionState::failed) return 1;
  }
  return 0;
}

}  // namespace lightcone::scenarios
