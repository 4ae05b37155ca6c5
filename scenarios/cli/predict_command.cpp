// SPDX-License-Identifier: Apache-2.0
// `predict POINTS.csv`: the same rows in the same order, with predicted_us, bound_by, expected_error_percent, evaluator
// and note.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/validate/expected_error.h"
#include "scenarios/validate/machines.h"
#include "scenarios/validate/measured_row.h"
#include "scenarios/validate/predict.h"
#include "scenarios/validate/sample.h"
#include "sim/base/csv.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kAdded{"predicted_us", "bound_by", "expected_error_percent", "evaluator"};

std::string evaluator_name(Evaluator evaluator) { return evaluator == Evaluator::cycle ? "cycle" : "analytical"; }

// What is written beside a row.
struct Answer {
  const Prediction& prediction;
  std::optional<ErrorEstimate> error;
  Evaluator evaluator;

  [[nodiscard]] bool there() const { return prediction.state == PredictionState::predicted; }
};

void check_header(const std::vector<std::string>& header, const std::string& file) {
  for (const std::string& title : header) {
    for (const char* added : kAdded) {
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
                   const std::vector<Answer>& answers) {
  const auto note = std::find(table.header.begin(), table.header.end(), "note");
  const bool has_note = note != table.header.end();
  const auto note_column = static_cast<std::size_t>(note - table.header.begin());
  std::vector<std::string> header = table.header;
  header.insert(header.end(), kAdded.begin(), kAdded.end());
  if (!has_note) header.push_back("note");
  std::string text = csv_line(header);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Answer& answer = answers[i];
    const Prediction& p = answer.prediction;
    std::vector<std::string> cells = table.rows[chosen[i]].cells;
    if (answer.there()) {
      cells.insert(cells.end(),
                   {fmt::format("{:.6g}", p.time_us), p.bound_by,
                    answer.error ? fmt::format("{:.4g}", answer.error->median_absolute_percent) : "unvalidated",
                    evaluator_name(answer.evaluator)});
    } else {
      cells.insert(cells.end(), kAdded.size(), "");
    }
    if (has_note) {
      cells[note_column] = joined_note(cells[note_column], p.note);
    } else {
      cells.push_back(p.note);
    }
    text += csv_line(cells);
  }
  return text;
}

// A number, "unvalidated", or null without a prediction.
Json error_json(const Answer& answer) {
  if (!answer.there()) return {};
  return answer.error ? Json(answer.error->median_absolute_percent) : Json("unvalidated");
}

std::string to_json(const MeasuredTable& table, const std::vector<std::size_t>& chosen,
                    const std::vector<Answer>& answers) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const MeasuredRow& row = table.rows[chosen[i]];
    const Answer& answer = answers[i];
    const Prediction& p = answer.prediction;
    rows.push_back({{"line", row.line},
                    {"gpu", row.point.gpu},
                    {"op", row.point.op},
                    {"dtype", row.point.dtype},
                    {"params", row.point.params},
                    {"predicted_us", answer.there() ? Json(p.time_us) : Json()},
                    {"bound_by", p.bound_by},
                    {"expected_error_percent", error_json(answer)},
                    {"evaluator", answer.there() ? Json(evaluator_name(answer.evaluator)) : Json()},
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
  const ValidationTable errors = ValidationTable::load(validation_table_file());
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const PredictionMachine* machine = machines.find(points[i].gpu);
    const std::string gpu = machine != nullptr ? machine->gpu.name : "";
    answers.push_back(
        {predictions[i], expected_error(errors, points[i], predictions[i], gpu, options.fidelity), options.fidelity});
  }
  const std::string text = options.json ? to_json(table, chosen, answers) : to_csv(table, chosen, answers);
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
