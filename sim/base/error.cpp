// SPDX-License-Identifier: Apache-2.0
#include "sim/base/error.h"

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace lightcone {

std::string Diagnostic::text() const {
  std::string out;
  if (!where.file.empty()) {
    out += where.file;
    if (where.line > 0) out += fmt::format(":{}:{}", where.line, where.column);
    out += ": ";
  }
  if (!field.empty()) out += field + ": ";
  out += message;
  if (!excerpt.empty()) {
    out += fmt::format("\n    {}\n    {}^", excerpt,
                       std::string(static_cast<std::size_t>(where.column > 0 ? where.column - 1 : 0), ' '));
  }
  return out;
}

namespace {
std::string join(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (!out.empty()) out += '\n';
    out += diagnostic.text();
  }
  return out;
}
}  // namespace

ConfigError::ConfigError(std::vector<Diagnostic> diagnostics)
    : std::runtime_error(join(diagnostics)), diagnostics_(std::move(diagnostics)) {}

ConfigError::ConfigError(std::string message)
    : std::runtime_error(message), diagnostics_{Diagnostic{{}, {}, std::move(message), {}}} {}

void assertion_failed(const char* expression, const char* file, int line) {
  fmt::print(stderr, "{}:{}: internal error: `{}` does not hold; please report this with the scenario\n", file, line,
             expression);
  std::abort();
}

}  // namespace lightcone
