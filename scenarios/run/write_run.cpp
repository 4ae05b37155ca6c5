// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/write_run.h"

#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "scenarios/run/result_io.h"
#include "scenarios/run/result_json.h"
#include "scenarios/run/timeline.h"
#include "sim/base/error.h"
#include "sim/base/resources.h"

namespace lightcone::scenarios {
namespace fs = std::filesystem;
namespace {

std::optional<std::string> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The last line with text in it: of a Python traceback, the one that says what happened.
std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \n");
  if (end == std::string::npos) return {};
  const std::size_t start = text.rfind('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1,
                     end - (start == std::string::npos ? 0 : start + 1) + 1);
}

}  // namespace

void write_run(const RunResult& result, const std::string& resolved_scenario, RunFolder& folder) {
  folder.write("scenario.textproto", resolved_scenario);
  folder.write("result.json", to_json(result));
  folder.write("result.pb", serialise(result));
  folder.write("operators.csv", operators_csv(result));
  folder.write("kernels.csv", kernels_csv(result));
  folder.write("utilisation.csv", utilisation_csv(result));
  folder.write("timeline.pftrace", perfetto_trace(result));
}

StoredRun read_run(const fs::path& folder) {
  const auto bytes = read_file(folder / "result.pb");
  const auto scenario = read_file(folder / "scenario.textproto");
  if (!bytes || !scenario) {
    throw ConfigError(
        fmt::format("{}: not a run folder (it has no readable result.pb and scenario.textproto)", folder.string()));
  }
  auto result = parse_run_result(*bytes);
  if (!result) {
    throw ConfigError(fmt::format("{}: damaged, or written by another version", (folder / "result.pb").string()));
  }
  return {*std::move(result), *scenario};
}

std::string draw_plots(const std::string& script, const fs::path& folder) {
  const fs::path path = fs::path(share_folder()) / "analysis" / script;
  int ends[2];
  if (pipe(ends) != 0) return "no plots: no pipe";
  const pid_t child = fork();
  if (child < 0) return "no plots: no process";
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl("/usr/bin/python3", "python3", "-B", path.c_str(), folder.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  close(ends[1]);
  std::string output;
  std::array<char, 4096> buffer;
  for (ssize_t n = 0; (n = read(ends[0], buffer.data(), buffer.size())) > 0 || (n < 0 && errno == EINTR);) {
    if (n > 0) output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return "no plots: /usr/bin/python3 is missing";
  return "the plots are not complete: " + last_line(output);
}

}  // namespace lightcone::scenarios
