// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/measured_row.h"

#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/base/csv.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

constexpr std::size_t kMostFaults = 20;

// The columns that are read, by index.
struct Columns {
  std::size_t source, gpu, op, params, dtype;
  std::optional<std::size_t> time_us, kernel, note, flag;

  explicit Columns(const CsvReader& reader)
      : source(reader.required_column("source")),
        gpu(reader.required_column("gpu")),
        op(reader.required_column("op")),
        params(reader.required_column("params")),
        dtype(reader.required_column("dtype")),
        time_us(reader.column("time_us")),
        kernel(reader.column("kernel")),
        note(reader.column("note")),
        flag(reader.column("flag")) {}
};

std::string optional_cell(const std::vector<std::string>& cells, std::optional<std::size_t> index) {
  return index ? cells[*index] : std::string();
}

// A flat JSON object as text values; nothing when the text is anything else.
std::optional<std::map<std::string, std::string>> parse_params(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  std::map<std::string, std::string> params;
  for (const auto& [name, value] : json.items()) {
    params[name] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return params;
}

std::optional<double> parse_time(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value <= 0) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<std::uint64_t> OperatingPoint::size(std::string_view name) const {
  const std::string value = text(name);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

std::string OperatingPoint::text(std::string_view name) const {
  const auto found = params.find(std::string(name));
  return found == params.end() ? std::string() : found->second;
}

MeasuredTable read_measured(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in || std::filesystem::is_directory(file)) {
    throw ConfigError(file.string() + ": cannot be read; a CSV file of measured points is needed");
  }
  CsvReader reader(in, file.string());
  const Columns columns(reader);
  MeasuredTable table{reader.header(), {}};
  std::vector<Diagnostic> faults;
  const auto fault = [&](int line, std::string field, std::string message) {
    Diagnostic& diagnostic = faults.emplace_back();
    diagnostic.where = {file.string(), line, 1};
    diagnostic.field = std::move(field);
    diagnostic.message = std::move(message);
  };
  while (std::optional<CsvRow> csv = reader.next()) {
    MeasuredRow& row = table.rows.emplace_back();
    const std::vector<std::string>& cells = csv->cells;
    row.file = file.string();
    row.line = csv->line;
    row.flag = optional_cell(cells, columns.flag);
    row.point.source = cells[columns.source];
    row.point.gpu = cells[columns.gpu];
    row.point.op = cells[columns.op];
    row.point.dtype = cells[columns.dtype];
    row.point.kernel = optional_cell(cells, columns.kernel);
    row.point.note = optional_cell(cells, columns.note);
    if (auto params = parse_params(cells[columns.params])) {
      row.point.params = std::move(*params);
    } else {
      fault(row.line, "params", "is not a JSON object; allowed: sizes by name, such as {\"m\":1,\"n\":2,\"k\":3}");
    }
    const std::string time = optional_cell(cells, columns.time_us);
    row.time_us = parse_time(time);
    if (!time.empty() && !row.time_us) fault(row.line, "time_us", "\"" + time + "\" is not a time above zero");
    row.cells = std::move(csv->cells);
    if (faults.size() >= kMostFaults) break;
  }
  if (!faults.empty()) throw ConfigError(std::move(faults));
  return table;
}

}  // namespace lightcone::scenarios
