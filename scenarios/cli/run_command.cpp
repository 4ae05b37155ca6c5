// SPDX-License-Identifier: Apache-2.0
// `run SCENARIO`: one pass, its summary and its run folder.
#include <filesystem>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/run/result_json.h"
#include "scenarios/run/run_folder.h"
#include "scenarios/run/summary.h"
#include "scenarios/run/write_run.h"
#include "sim/base/resources.h"

namespace lightcone::scenarios {

int run_command(const Options& options) {
  const Scenario scenario = load_scenario(options.inputs.front(), options.overrides);
  const PassInput input = make_pass_input(scenario, evaluation_settings(options));
  const auto target = options.out.value_or(std::filesystem::path("runs") / scenario.name);
  RunFolder folder = RunFolder::at(target);  // before the work: an unwritable folder is said at once

  Session session(options);
  const ValidationTable validation = ValidationTable::load(validation_table_file());
  const RunResult result = run_pass(input, validation, session.bench());
  write_run(result, scenario.resolved_text, folder);
  const auto where = folder.commit();
  if (!options.no_plots) {
    const std::string trouble = draw_plots("plot_run.py", where);
    if (!trouble.empty()) session.progress().note(trouble);
  }
  print(options.json ? to_json(result) : summary(result));
  session.progress().note("run folder: " + where.string());
  return 0;
}

}  // namespace lightcone::scenarios
