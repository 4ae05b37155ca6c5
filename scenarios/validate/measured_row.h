// SPDX-License-Identifier: Apache-2.0
// Rows of measured-performance tables: what was run (the point) apart from how long it took (the measurement), so that
// nothing which predicts can see the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lightcone::scenarios {

// What was run, on which GPU, by which software. There is no time here.
struct OperatingPoint {
  std::string source;  // data set and library version
  std::string gpu;
  std::string op;
  std::string dtype;
  std::string kernel;
  std::string note;
  std::map<std::string, std::string> params;  // as written: integers, or text such as a number format

  // The named size; nothing when absent or not a whole number.
  [[nodiscard]] std::optional<std::uint64_t> size(std::string_view name) const;
  [[nodiscard]] std::string text(std::string_view name) const;  // empty when absent
};

struct MeasuredRow {
  OperatingPoint point;
  std::optional<double> time_us;  // absent: the row holds another kind of measurement
  std::string flag;               // set when the row is not fit for error figures (above a hardware peak ...)
  std::string file;
  int line = 0;
  std::vector<std::string> cells;  // the whole row, to be written back
};

struct MeasuredTable {
  std::vector<std::string> header;
  std::vector<MeasuredRow> rows;
};

// Columns read: source, gpu, op, params (JSON object), dtype; time_us, kernel, note, flag when there are such columns.
// Throws ConfigError with file and line when the file cannot be read, a column is missing or a cell is malformed.
MeasuredTable read_measured(const std::filesystem::path& file);

}  // namespace lightcone::scenarios
