// SPDX-License-Identifier: Apache-2.0
#include "scenarios/cli/session.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace fs = std::filesystem;

Session::Session(const Options& options)
    : progress_(options.quiet),
      evaluators_(real_evaluators()),
      store_({cache_folder(), std::chrono::milliseconds(10000),
              [this](const std::string& warning) { progress_.note(warning); }}),
      pool_({options.jobs, {}}) {}

EvaluationSettings evaluation_settings(const Options& options) {
  EvaluationSettings settings;
  settings.fidelity = options.fidelity;
  settings.options.exact = options.exact;
  return settings;
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw RunError(std::string("standard output cannot be written: ") + std::strerror(errno));
  }
}

namespace {

// The name beside `path` under which it is written, in a folder that is made if need be.
fs::path temporary_for(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) throw ConfigError(path.string() + ": is a folder; name a file");
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  return path.string() + ".part-" + std::to_string(getpid());
}

}  // namespace

void check_writable(const fs::path& path) {
  const fs::path temporary = temporary_for(path);
  if (!std::ofstream(temporary, std::ios::binary)) {
    throw RunError(path.string() + ": cannot be written: " + std::strerror(errno));
  }
  std::error_code ignored;
  fs::remove(temporary, ignored);
}

void write_file(const fs::path& path, std::string_view bytes) {
  std::error_code error;
  const fs::path temporary = temporary_for(path);
  std::ofstream out(temporary, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  const bool written = static_cast<bool>(out);
  const std::string reason = std::strerror(errno);
  if (written) fs::rename(temporary, path, error);
  if (!written || error) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw RunError(path.string() + ": cannot be written: " + (written ? error.message() : reason));
  }
}

}  // namespace lightcone::scenarios
