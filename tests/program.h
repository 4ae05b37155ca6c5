// SPDX-License-Identifier: Apache-2.0
// The built program as a user starts it: arguments in, exit code and both outputs back.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "temporary_folder.h"

namespace lightcone::test {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Outcome {
  int code = -1;  // 128 + signal when it was killed, as the shell says
  std::string out, error;
};

class Program {
 public:
  // Runs `lightcone ARGUMENTS` through the shell, in the source tree, with caches of its own.
  // `sink`: where standard output goes instead of into the outcome; may be empty.
  Outcome operator()(const std::string& arguments, const std::string& sink = {}) const {
    const std::string command = "cd '" LIGHTCONE_SOURCE_DIR "' && XDG_CACHE_HOME='" +
                                (folder_.path() / "cache").string() + "' '" LIGHTCONE_PROGRAM "' " + arguments + " >'" +
                                (sink.empty() ? out().string() : sink) + "' 2>'" + error().string() + "' </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out()), read_file(error())};
  }
  // A file for the program to read.
  [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
    const auto path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }

 private:
  [[nodiscard]] std::filesystem::path out() const { return folder_.path() / "stdout"; }
  [[nodiscard]] std::filesystem::path error() const { return folder_.path() / "stderr"; }
  TemporaryFolder folder_;
};

}  // namespace lightcone::test
