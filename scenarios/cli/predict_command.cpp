// SPDX-License-Identifier: Apache-2.0
// `predict POINTS.csv`: the same rows in the same order, with predicted_us, bound_by and note.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/validate/machines.h"
#include "scenarios/validate/measured_row.h"
#include "scenarios/validate/predict.h"
#include "scenarios/validate/sample.h"
#include "sim/base/csv.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using Json = nlohmann::ordered_json;

void check_header(const std::vector<std::string>& header, const std::string& file) {
  for (const std::string& title : header) {
    for (const char* added : {"predicted_us", "bound_by"}) {
      if (title == added) {
        throw ConfigError(file + ": has a column \"" + title + "\" already; it would stand there twice");
      }
    }
  }
}

// An input that has a note keeps it, in front of ours.
std::string joined_note(const std::string& theirs, const std::string& ours) {
  if (theirs.empty() || ours.empty()) return theirs + ours;
  return theirs + " | " + ours;
}

std::string to_csv(const MeasuredTable& table, const std::vector<std::size_t>& chosen,
                   const std::vector<Prediction>& predictions) {
  const auto note = std::find(table.header.begin(), table.header.end(), "note");
  const bool has_note = note != table.header.end();
  const auto note_column = static_cast<std::size_t>(note - table.header.begin());
  std::vector<std::string> header = table.header;
  header.insert(header.end(), {"predicted_us", "bound_by"});
  if (!has_note) header.push_back("note");
  std::string text = csv_line(header);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Prediction& p = predictions[i];
    const bool there = p.state == PredictionState::predicted;
    std::vector<std::string> cells = table.rows[chosen[i]].cells;
    cells.insert(cells.end(), {there ? fmt::format("{:.6g}", p.time_us) : "", p.bound_by});
    if (has_note) {
      cells[note_column] = joined_note(cells[note_column], p.note);
    } else {
      cells.push_back(p.note);
    }
    text += csv_line(cells);
  }
  return text;
}

std::string to_json(const MeasuredTable& table, const std::vector<std::size_t>& chosen,
                    const std::vector<Prediction>& predictions) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const MeasuredRow& row = table.rows[chosen[i]];
    const Prediction& p = predictions[i];
    rows.push_back({{"line", row.line},
                    {"gpu", row.point.gpu},
                    {"op", row.point.op},
                    {"dtype", row.point.dtype},
                    {"params", row.point.params},
                    {"predicted_us", p.state == PredictionState::predicted ? Json(p.time_us) : Json()},
                    {"bound_by", p.bound_by},
                    {"note", p.note}});
  }
  return rows.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

int predict_command(const Options& options) {
  const MeasuredTable table = read_measured(options.inputs.front());
  check_header(table.header, options.inputs.front());
  const Machines machines(options.machine, options.overrides);
  const std::vector<std::size_t> chosen =
      sample_indices(table.rows.size(), options.sample.value_or(table.rows.size()), options.seed);
  std::vector<OperatingPoint> points;
  for (const std::size_t row : chosen) points.push_back(table.rows[row].point);

  if (options.out) check_writable(*options.out);
  Session session(options);
  const std::vector<Prediction> predictions = predict_points(
      points, [&](const std::string& gpu) { return machines.find(gpu); }, evaluation_settings(options),
      session.bench());
  const std::string text = options.json ? to_json(table, chosen, predictions) : to_csv(table, chosen, predictions);
  if (options.out) {
    write_file(*options.out, text);
  } else {
    print(text);
  }
  std::size_t unsupported = 0, failed = 0;
  for (const Prediction& p : predictions) {
    unsupported += p.state == PredictionState::unsupported;
    failed += p.state == PredictionState::failed;
  }
  session.progress().note(fmt::format("{} of {} points predicted, {} not supported, {} failed",
                                      predictions.size() - unsupported - failed, predictions.size(), unsupported,
                                      failed));
  return failed == 0 ? 0 : 1;
}

}  // namespace lightcone::scenarios
