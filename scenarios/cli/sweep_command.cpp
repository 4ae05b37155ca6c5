// SPDX-License-Identifier: Apache-2.0
// `sweep SCENARIO`: every point of the scenario's axes; what is finished is kept, the same command goes on.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/expand_sweep.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/run/write_run.h"
#include "scenarios/sweep/run_sweep.h"
#include "scenarios/sweep/sweep_store.h"
#include "sim/base/content_hash.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

// `table`: the contents of the validation table, from which the results' expected errors come.
std::vector<SweepPoint> identify(const std::vector<ScenarioPoint>& points, const Options& options,
                                 const std::string& table) {
  std::vector<SweepPoint> list;
  const std::string table_hash = ContentHash().add(table).hex();
  for (const ScenarioPoint& point : points) {
    list.push_back({point.assignments, fmt::format("{}\nfidelity {} exact {} errors {}", point.scenario.resolved_text,
                                                   static_cast<int>(options.fidelity), options.exact, table_hash)});
  }
  return list;
}

std::string read_whole(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int sweep_command(const Options& options) {
  const std::vector<ScenarioPoint> points = expand_sweep(options.inputs.front(), options.overrides);
  if (points.front().assignments.empty()) {
    throw ConfigError(options.inputs.front() + ": has no sweep; add axes to it, or use `run`");
  }
  const std::filesystem::path folder =
      options.out.value_or(std::filesystem::path("runs") / points.front().scenario.name);
  Session session(options);
  const auto warn = [&](const std::string& text) { session.progress().note(text); };
  SweepStore store(folder, warn);
  const ValidationTable validation = ValidationTable::load(validation_table_file());
  const EvaluationSettings settings = evaluation_settings(options);

  // Inside a worker, kernels are simulated one at a time: the points are what runs side by side.
  const ProcessPool one({1, {}});
  const auto run_point = [&](std::size_t i) {
    Progress silent(true);
    KernelStore kernels({cache_folder(), std::chrono::milliseconds(10000), {}});
    const Workbench bench{session.evaluators(), kernels, one, silent};
    return run_pass(make_pass_input(points[i].scenario, settings), validation, bench);
  };
  const std::vector<SweepRow> rows = run_sweep(identify(points, options, read_whole(validation_table_file())),
                                               run_point, store, session.pool(), session.progress());
  write_file(folder / "points.csv", points_csv(rows));
  write_file(folder / "points.json", points_json(rows));
  if (!options.no_plots) {
    const std::string trouble = draw_plots("plot_sweep.py", folder);
    if (!trouble.empty()) warn(trouble);
  }
  print(options.json ? points_json(rows) : points_table(rows));
  warn("sweep folder: " + folder.string());
  for (const SweepRow& row : rows) {
    if (!row.outcome.result) return 1;
  }
  return 0;
}

}  // namespace lightcone::scenarios
