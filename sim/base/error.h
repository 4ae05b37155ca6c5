// SPDX-License-Identifier: Apache-2.0
// Two kinds of failure. `ConfigError` is for users: input that is wrong, thrown while loading, caught once in main,
// carrying every fault that was found, each with its place. `LIGHTCONE_ASSERT` is for programmers.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace lightcone {

// A place in an input file, 1-based; line 0 means "the file as a whole".
struct SourceLocation {
  std::string file;
  int line = 0;
  int column = 0;
};

// One fault: where, which field (path such as `machine.gpu.hbm.stacks`, may be empty), what is wrong and what is
// allowed.
struct Diagnostic {
  SourceLocation where;
  std::string field;
  std::string message;
  std::string excerpt;  // the source line, shown with a caret under the column; may be empty

  // `file:line:column: field: message`, then the excerpt and caret when there is one.
  [[nodiscard]] std::string text() const;
};

// The input is wrong (exit code 2). Holds all faults found, never just the first.
class ConfigError : public std::runtime_error {
 public:
  explicit ConfigError(std::vector<Diagnostic> diagnostics);
  explicit ConfigError(std::string message);
  [[nodiscard]] const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
};

// Something outside the input failed while running: disk full, child process crashed (exit code 1).
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace lightcone

// Checked in every build: a simulator that goes on with a broken invariant reports wrong figures.
#define LIGHTCONE_ASSERT(expression) \
  (static_cast<bool>(expression) ? void(0) : ::lightcone::assertion_failed(#expression, __FILE__, __LINE__))
