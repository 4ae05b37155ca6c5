// SPDX-License-Identifier: Apache-2.0
// The text of one input file, kept so that a fault found later can still show its line. Reading is bounded: files that
// are too large, binary, or not files at all are refused with a clear message.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "sim/base/error.h"

namespace lightcone {

class SourceText {
 public:
  // `name` is what messages show as the file; it may also be an option such as `--set path=value`.
  explicit SourceText(std::string name, std::string text = {});

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  // Line `line` (1-based) with tabs as single blanks, so that a caret under byte column n stands at the right place.
  // Empty when there is no such line or it is too long to be shown.
  [[nodiscard]] std::string excerpt(int line) const;
  // The 1-based byte column for a 0-based column that counts a tab as a jump to the next multiple of `tab_width`.
  [[nodiscard]] int byte_column(int line, int tabbed_column, int tab_width = 8) const;

 private:
  [[nodiscard]] std::string_view line_text(int line) const;
  std::string name_;
  std::string text_;
  std::vector<std::size_t> line_starts_;
};

using SourcePtr = std::shared_ptr<const SourceText>;

inline constexpr std::size_t kLargestInputFile = 16u << 20;  // bytes; real files are a few kilobytes

// Reads a text file. Throws ConfigError when it is missing, unreadable, a folder, larger than kLargestInputFile, or
// binary (control characters other than white space).
SourcePtr read_source(const std::string& path);

}  // namespace lightcone
