// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "scenarios/sweep/run_sweep.h"
#include "sim/base/csv.h"

namespace lightcone::scenarios {
namespace {

using Cells = std::vector<std::string>;
using Json = nlohmann::ordered_json;

// The results of a point: name and value, in the order of columns.
struct Figure {
  const char* name;   // in files
  const char* title;  // in the table for a terminal; null: not in it
  double (*value)(const RunResult&);
};
constexpr std::array<Figure, 10> kFigures{{
    {"latency_ms", "latency ms", [](const RunResult& r) { return r.latency.count() * 1e3; }},
    {"tokens_per_s", "tokens/s", [](const RunResult& r) { return r.tokens_per_second; }},
    {"model_flops_utilisation", "MFU", [](const RunResult& r) { return r.model_flops_utilisation; }},
    {"hbm_utilisation", "HBM use", [](const RunResult& r) { return r.hbm_utilisation; }},
    {"energy_per_token_j", "J/token", [](const RunResult& r) { return r.joules_per_token; }},
    {"energy_j", nullptr, [](const RunResult& r) { return r.energy.count(); }},
    {"mean_power_w", nullptr, [](const RunResult& r) { return r.mean_power.count(); }},
    {"mean_clock_mhz", nullptr, [](const RunResult& r) { return r.mean_clock.count() * 1e-6; }},
    {"memory_bytes", nullptr, [](const RunResult& r) { return r.memory_used().real(); }},
    {"simulated_fraction", nullptr, [](const RunResult& r) { return r.provenance.simulated_fraction; }},
}};

// "done", or the first line of what went wrong.
std::string status(const SweepRow& row) {
  if (row.outcome.result) return "done";
  return row.outcome.error.substr(0, row.outcome.error.find('\n'));
}

std::string bottleneck(const SweepRow& row) {
  if (!row.outcome.result || row.outcome.result->bottlenecks.empty()) return "";
  const Bottleneck& part = row.outcome.result->bottlenecks.front();
  return fmt::format("{}: {}", part.operator_name, kCycleReasonNames[static_cast<std::size_t>(part.reason)]);
}

// The last two names of a path say enough ("hbm.stacks"), unless two axes end alike.
std::string short_path(const std::string& path) {
  const std::size_t last = path.rfind('.');
  if (last == std::string::npos || last == 0) return path;
  const std::size_t before = path.rfind('.', last - 1);
  return before == std::string::npos ? path : path.substr(before + 1);
}

Cells axis_titles(const SweepPoint& point) {
  std::map<std::string, int> uses;
  for (const auto& [path, value] : point.axes) ++uses[short_path(path)];
  Cells titles;
  for (const auto& [path, value] : point.axes) titles.push_back(uses[short_path(path)] == 1 ? short_path(path) : path);
  return titles;
}

}  // namespace

std::string points_csv(const std::vector<SweepRow>& rows) {
  if (rows.empty()) return {};
  Cells titles;
  for (const auto& [path, value] : rows.front().point.axes) titles.push_back(path);
  titles.push_back("status");
  for (const Figure& figure : kFigures) titles.push_back(figure.name);
  titles.push_back("bottleneck");
  std::string csv = csv_line(titles);
  for (const SweepRow& row : rows) {
    Cells cells;
    for (const auto& [path, value] : row.point.axes) cells.push_back(value);
    cells.push_back(status(row));
    for (const Figure& figure : kFigures) {
      cells.push_back(row.outcome.result ? fmt::format("{:.9g}", figure.value(*row.outcome.result)) : "");
    }
    cells.push_back(bottleneck(row));
    csv += csv_line(cells);
  }
  return csv;
}

std::string points_table(const std::vector<SweepRow>& rows) {
  if (rows.empty()) return {};
  std::vector<Cells> lines(1);
  lines[0] = axis_titles(rows.front().point);
  for (const Figure& figure : kFigures) {
    if (figure.title != nullptr) lines[0].emplace_back(figure.title);
  }
  lines[0].push_back("bottleneck");
  for (const SweepRow& row : rows) {
    Cells& cells = lines.emplace_back();
    for (const auto& [path, value] : row.point.axes) cells.push_back(value);
    for (const Figure& figure : kFigures) {
      if (figure.title != nullptr)
        cells.push_back(row.outcome.result ? fmt::format("{:.4g}", figure.value(*row.outcome.result)) : "-");
    }
    cells.push_back(row.outcome.result ? bottleneck(row) : status(row));
  }
  std::string table;
  for (const Cells& cells : lines) {
    for (std::size_t c = 0; c + 1 < cells.size(); ++c) {
      std::size_t width = 0;
      for (const Cells& other : lines) width = std::max(width, other[c].size());
      table += fmt::format("{:<{}}  ", cells[c], width);
    }
    table += cells.back() + "\n";
  }
  return table;
}

std::string points_json(const std::vector<SweepRow>& rows) {
  Json json = Json::array();
  for (const SweepRow& row : rows) {
    Json point;
    for (const auto& [path, value] : row.point.axes) point["axes"][path] = value;
    point["status"] = row.outcome.result ? "done" : row.outcome.error;
    for (const Figure& figure : kFigures) {
      if (row.outcome.result) point[figure.name] = figure.value(*row.outcome.result);
    }
    json.push_back(std::move(point));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lightcone::scenarios
