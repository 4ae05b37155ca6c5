// SPDX-License-Identifier: Apache-2.0
// `report RUN`: the summary of a run folder again, and its plots.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/run/result_json.h"
#include "scenarios/run/summary.h"
#include "scenarios/run/write_run.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace fs = std::filesystem;

int report_command(const Options& options) {
  const fs::path folder = options.inputs.front();
  const bool is_sweep = fs::exists(folder / "points.csv");
  Progress notes(options.quiet);
  if (is_sweep) {
    std::ifstream in(folder / (options.json ? "points.json" : "points.csv"), std::ios::binary);
    if (!in) throw ConfigError(folder.string() + ": its points cannot be read");
    print(std::string(std::istreambuf_iterator<char>(in), {}));
  } else {
    const RunResult result = read_run(folder).result;
    print(options.json ? to_json(result) : summary(result));
  }
  if (!options.no_plots) {
    const std::string trouble = draw_plots(is_sweep ? "plot_sweep.py" : "plot_run.py", folder);
    notes.note(trouble.empty() ? "plots: " + folder.string() : trouble);
  }
  return 0;
}

}  // namespace lightcone::scenarios
