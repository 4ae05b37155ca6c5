// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/error_report.h"

#include <fmt/core.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "scenarios/run/validation_table.h"
#include "sim/base/csv.h"

namespace lightcone::scenarios {

namespace {

using Json = nlohmann::ordered_json;

std::string_view evaluator_name(Evaluator evaluator) { return evaluator == Evaluator::cycle ? "cycle" : "analytical"; }

std::string params_text(const OperatingPoint& point) {
  std::string text;
  for (const auto& [name, value] : point.params) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  return text;
}

// ---- Text ----------------------------------------------------------------------------------------------------

std::string statistics_cells(const ErrorStatistics& s) {
  if (s.count == 0) return fmt::format("{:>6}{:>8}{:>8}{:>8}{:>8}", 0, "-", "-", "-", "-");
  return fmt::format("{:>6}{:>8.1f}{:>8.1f}{:>+8.1f}{:>8.1f}", s.count, 100 * s.median_absolute, 100 * s.mean_absolute,
                     100 * s.bias, 100 * s.p90_absolute);
}

std::string table(const std::vector<ErrorGroup>& groups) {
  std::string text =
      fmt::format("{:80}{:^38}  {:^38}\n", "relative errors in percent", "10 us and longer", "under 10 us");
  const std::string titles = fmt::format("{:>6}{:>8}{:>8}{:>8}{:>8}", "points", "median", "mean", "bias", "p90");
  text += fmt::format("{:36}{:16}{:18}{:10}{}  {}\n", "source", "GPU", "op", "dtype", titles, titles);
  std::string section;
  for (const ErrorGroup& group : groups) {
    const std::string now = (group.source == "all" ? "all" : "one") + (group.op == "all" ? std::string("all") : "one");
    if (now != section) text += section.empty() ? "" : "\n";
    section = now;
    text += fmt::format("{:36}{:16}{:18}{:10}{}  {}\n", group.source, group.gpu, group.op, group.dtype,
                        statistics_cells(group.at_least_10us), statistics_cells(group.under_10us));
  }
  return text;
}

std::string worst_points(const ErrorGroup& group, const std::vector<MeasuredRow>& rows) {
  std::string text = fmt::format("{} {} {} {}: worst points\n", group.source, group.gpu, group.op, group.dtype);
  for (const ComparedPoint* point : group.worst) {
    const MeasuredRow& row = rows[point->row];
    text += fmt::format("  {:>+9.1f} %  measured {:>10.4g} us  predicted {:>10.4g} us  {}  {}\n", 100 * point->error(),
                        point->measured_us, point->predicted_us, params_text(row.point), row.point.kernel);
  }
  return text;
}

std::string counts(const std::string& title, const std::map<std::string, std::size_t>& reasons) {
  std::string text;
  for (const auto& [reason, count] : reasons) text += fmt::format("{:>8} {}: {}\n", count, title, reason);
  return text;
}

// ---- JSON ----------------------------------------------------------------------------------------------------

Json statistics_json(const ErrorStatistics& s) {
  if (s.count == 0) return Json{{"points", 0}};
  return Json{{"points", s.count},
              {"median_absolute_percent", 100 * s.median_absolute},
              {"mean_absolute_percent", 100 * s.mean_absolute},
              {"bias_percent", 100 * s.bias},
              {"p90_absolute_percent", 100 * s.p90_absolute}};
}

Json point_json(const ComparedPoint& point, const MeasuredRow& row) {
  return Json{{"file", row.file},
              {"line", row.line},
              {"params", row.point.params},
              {"kernel", row.point.kernel},
              {"measured_us", point.measured_us},
              {"predicted_us", point.predicted_us},
              {"error_percent", 100 * point.error()}};
}

}  // namespace

std::string to_text(const ValidationReport& report) {
  const std::vector<ErrorGroup> groups = group_errors(report.points);
  std::string text;
  for (const ErrorGroup& group : groups) {
    if (group.source != "all") text += worst_points(group, *report.rows) + "\n";
  }
  text += table(groups) + "\n";
  text += counts("not predicted", report.unsupported) + counts("failed", report.failed);
  text += fmt::format("{} fidelity, {} points compared; of {} rows, {} are flagged by the data set, {} hold no time\n",
                      evaluator_name(report.evaluator), report.points.size(), report.rows_read, report.rows_flagged,
                      report.rows_without_time);
  if (report.half != MeasuredHalf::all) {
    text += fmt::format("{} half of the points; {} rows of the other half left out\n", name(report.half),
                        report.rows_other_half);
  }
  text += report.half == MeasuredHalf::held_out && kCalibratedOnOneHalf
              ? "held-out: calibration did not see these points\n"
              : "in-sample: the machines' constants were calibrated on these points among others\n";
  return text;
}

std::string to_json(const ValidationReport& report) {
  Json json{{"fidelity", evaluator_name(report.evaluator)},
            {"half", std::string(name(report.half))},
            {"rows_other_half", report.rows_other_half},
            {"rows_read", report.rows_read},
            {"rows_flagged", report.rows_flagged},
            {"rows_without_time", report.rows_without_time},
            {"points_compared", report.points.size()},
            {"not_predicted", report.unsupported},
            {"failed", report.failed}};
  json["groups"] = Json::array();
  for (const ErrorGroup& group : group_errors(report.points)) {
    Json worst = Json::array();
    for (const ComparedPoint* point : group.worst) worst.push_back(point_json(*point, (*report.rows)[point->row]));
    json["groups"].push_back({{"source", group.source},
                              {"gpu", group.gpu},
                              {"op", group.op},
                              {"dtype", group.dtype},
                              {"at_least_10us", statistics_json(group.at_least_10us)},
                              {"under_10us", statistics_json(group.under_10us)},
                              {"worst_points", std::move(worst)}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_error_table(const ValidationReport& report, const std::map<std::string, std::string>& gpu_names) {
  std::map<std::array<std::string, 4>, std::vector<const ComparedPoint*>> classes;
  for (const ComparedPoint& point : report.points) {
    const auto gpu = gpu_names.find(point.gpu);
    classes[{gpu == gpu_names.end() ? point.gpu : gpu->second, point.op, point.dtype,
             size_region(Seconds(point.predicted_us * 1e-6))}]
        .push_back(&point);
  }
  std::string text =
      csv_line({"gpu", "evaluator", "op", "dtype", "region", "half", "points", "median_percent", "mean_percent"});
  for (const auto& [key, members] : classes) {
    const ErrorStatistics s = error_statistics(members);
    text += csv_line({key[0], std::string(evaluator_name(report.evaluator)), key[1], key[2], key[3],
                      std::string(name(report.half)), std::to_string(s.count),
                      fmt::format("{:.2f}", 100 * s.median_absolute), fmt::format("{:.2f}", 100 * s.mean_absolute)});
  }
  return text;
}

}  // namespace lightcone::scenarios
