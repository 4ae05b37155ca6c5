// SPDX-License-Identifier: Apache-2.0
// Comma-separated values as RFC 4180 defines them: quoted cells, doubled quotes, line breaks inside quotes; a
// byte-order mark and CRLF are accepted. Rows are read one at a time, so that a file of any size needs little memory.
// Not read: other separators, comments.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lightcone {

struct CsvRow {
  int line = 0;  // where the row starts, 1-based
  std::vector<std::string> cells;
};

// Reads a CSV text with a header line. Every fault is a ConfigError that names file and line.
class CsvReader {
 public:
  // `name` is the file name in messages. Throws when there is no header, or a column is named twice.
  CsvReader(std::istream& in, std::string name);

  // The next row, or nothing at the end. Blank lines are skipped. Throws ConfigError when a quote stays open, a row has
  // another number of cells than the header, or the text is binary.
  std::optional<CsvRow> next();

  [[nodiscard]] const std::vector<std::string>& header() const { return header_; }
  // Index of a column, or nothing.
  [[nodiscard]] std::optional<std::size_t> column(std::string_view title) const;
  // Index of a column; ConfigError naming the columns there are when it is missing.
  [[nodiscard]] std::size_t required_column(std::string_view title) const;

 private:
  std::optional<CsvRow> read_row();
  [[noreturn]] void fail(int line, const std::string& message) const;

  std::istream& in_;
  std::string name_;
  int line_ = 1;
  std::vector<std::string> header_;
};

// The cell as it is written: quoted when it holds a comma, a quote or a line break.
std::string csv_cell(std::string_view text);
// One line, with its line break.
std::string csv_line(const std::vector<std::string>& cells);

}  // namespace lightcone
