// SPDX-License-Identifier: Apache-2.0
#include "sim/base/csv.h"

#include <algorithm>
#include <istream>
#include <utility>

#include "sim/base/error.h"
#include "sim/base/suggest.h"

namespace lightcone {

namespace {
constexpr std::size_t kLongestCell = 1 << 20;  // anything longer is no table
constexpr std::size_t kShownColumns = 12;      // of a header that lacks a column
constexpr std::size_t kShownCell = 40;         // bytes of such a column's name

// Control characters other than tab and carriage return stand in no table, but in every binary file.
bool is_binary(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\r' && c != '\n') || byte == 0x7f;
}
}  // namespace

CsvReader::CsvReader(std::istream& in, std::string name) : in_(in), name_(std::move(name)) {
  if (in_.peek() == 0xEF) in_.ignore(3);  // byte-order mark
  std::optional<CsvRow> row = read_row();
  if (!row) fail(0, "the file is empty; a header line with the column names is needed");
  header_ = std::move(row->cells);
  for (std::size_t i = 0; i < header_.size(); ++i) {
    if (std::find(header_.begin(), header_.begin() + static_cast<std::ptrdiff_t>(i), header_[i]) !=
        header_.begin() + static_cast<std::ptrdiff_t>(i)) {
      fail(row->line, "column \"" + header_[i] + "\" is named twice");
    }
  }
}

std::optional<CsvRow> CsvReader::next() {
  std::optional<CsvRow> row = read_row();
  if (row && row->cells.size() != header_.size()) {
    fail(row->line, "the row has " + std::to_string(row->cells.size()) + " cells, the header has " +
                        std::to_string(header_.size()));
  }
  return row;
}

std::optional<std::size_t> CsvReader::column(std::string_view title) const {
  const auto found = std::find(header_.begin(), header_.end(), title);
  if (found == header_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header_.begin());
}

std::size_t CsvReader::required_column(std::string_view title) const {
  if (const auto index = column(title)) return *index;
  std::string columns;
  for (std::size_t i = 0; i < header_.size() && i < kShownColumns; ++i) {
    columns += (i == 0 ? "" : ", ") + header_[i].substr(0, kShownCell);
  }
  if (header_.size() > kShownColumns) columns += ", ...";
  const bool near = !suggestions(title, header_).empty();
  fail(1, "column \"" + std::string(title) + "\" is missing" +
              (near ? suggestion_text(title, header_) : "; the first line names: " + columns));
}

std::optional<CsvRow> CsvReader::read_row() {
  while (in_.peek() == '\n' || in_.peek() == '\r') {
    if (in_.get() == '\n') ++line_;
  }
  if (in_.peek() == std::istream::traits_type::eof()) return std::nullopt;

  CsvRow row{line_, {{}}};
  bool quoted = false, was_quoted = false;
  for (int c = in_.get();; c = in_.get()) {
    std::string& cell = row.cells.back();
    if (c == std::istream::traits_type::eof()) {
      if (quoted) fail(row.line, "a quote that opens here is never closed");
      return row;
    }
    if (c != std::istream::traits_type::eof() && is_binary(static_cast<char>(c))) {
      fail(line_, "the file is not text but binary; a CSV table is needed");
    }
    if (c == '\n') ++line_;
    if (quoted) {
      if (c != '"') {
        cell += static_cast<char>(c);
      } else if (in_.peek() == '"') {
        cell += static_cast<char>(in_.get());
      } else {
        quoted = false;
      }
    } else if (c == '"' && cell.empty() && !was_quoted) {
      quoted = was_quoted = true;
    } else if (c == ',') {
      row.cells.emplace_back();
      was_quoted = false;
    } else if (c == '\n') {
      return row;
    } else if (c != '\r' || in_.peek() != '\n') {
      if (was_quoted) fail(line_, "text follows a closing quote; a quote inside a cell is written twice");
      cell += static_cast<char>(c);
    }
    if (row.cells.back().size() > kLongestCell || row.cells.size() > 10000) {
      fail(row.line, "the file is not a table: a row that does not end");
    }
  }
}

void CsvReader::fail(int line, const std::string& message) const {
  std::vector<Diagnostic> faults(1);
  faults[0].where = {name_, line, 1};
  faults[0].message = message;
  throw ConfigError(std::move(faults));
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string out;
  for (const std::string& cell : cells) {
    if (!out.empty() || &cell != &cells.front()) out += ',';
    out += csv_cell(cell);
  }
  return out + '\n';
}

}  // namespace lightcone
