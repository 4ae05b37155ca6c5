// SPDX-License-Identifier: Apache-2.0
// Where each value of a loaded message was written: field path (`gpu.hbm.stacks`, `axis[1].path`) to file, line and
// column. It survives overlays (each value keeps the file that won), so that errors in meaning, found long after
// parsing, still point at the line.
#pragma once

#include <map>
#include <string>

#include "sim/base/error.h"
#include "sim/base/source_text.h"

namespace lightcone {

// A place in a source; line 0: the source as a whole (an option on the command line, a file).
struct FieldOrigin {
  SourcePtr source;
  int line = 0;
  int column = 0;

  [[nodiscard]] SourceLocation where() const;
  [[nodiscard]] Diagnostic diagnostic(std::string field, std::string message) const;
};

class FieldLocations {
 public:
  void set(const std::string& path, FieldOrigin origin);
  [[nodiscard]] bool has(const std::string& path) const;
  // The origin of the value at `path`; for a value that was never written, of the nearest enclosing message.
  [[nodiscard]] FieldOrigin origin(const std::string& path) const;
  [[nodiscard]] SourceLocation where(const std::string& path) const { return origin(path).where(); }
  // A fault of the value at `path`, with place and excerpt. Shows `shown prefix + path` as the field.
  [[nodiscard]] Diagnostic diagnostic(const std::string& path, std::string message) const;

  // The locations of everything inside `path`, as paths relative to it; faults still show the whole path.
  [[nodiscard]] FieldLocations below(const std::string& path) const;
  void erase(const std::string& path);  // and everything inside it
  // Takes everything `from` knows at and inside `from_path`, as `path`. Replaces what was known of `path` itself.
  void adopt(const std::string& path, const FieldLocations& from, const std::string& from_path);

  [[nodiscard]] std::string shown(const std::string& path) const;
  [[nodiscard]] const std::map<std::string, FieldOrigin>& all() const { return origins_; }

 private:
  std::map<std::string, FieldOrigin> origins_;  // "" is the file as a whole
  std::string shown_prefix_;
};

// `parent.name`, or `name` at the top.
std::string join_path(const std::string& parent, const std::string& name);
std::string element_path(const std::string& list, int index);  // `list[index]`

}  // namespace lightcone
