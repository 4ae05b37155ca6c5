// SPDX-License-Identifier: Apache-2.0
// `run SCENARIO`: one pass, its summary and its run folder.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/run/result_io.h"
#include "scenarios/run/result_json.h"
#include "scenarios/run/run_folder.h"
#include "scenarios/run/summary.h"
#include "scenarios/run/write_run.h"
#include "scenarios/step/run_step.h"
#include "scenarios/step/search_plan.h"
#include "sim/base/resources.h"

namespace lightcone::scenarios {

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The folder holds exactly this run already; then its files and plots stay, and a second run takes no time.
bool holds(const fs::path& folder, const RunResult& result, const std::string& scenario) {
  return fs::exists(folder / "result.pb") && read_file(folder / "result.pb") == serialise(result) &&
         read_file(folder / "scenario.textproto") == scenario;
}

bool has_plots(const fs::path& folder) {
  for (const char* name : {"bottlenecks.svg", "families.svg", "roofline.svg", "utilisation.svg"}) {
    if (!fs::exists(folder / name)) return false;
  }
  return true;
}

// The scenario with the plan that a search finds best; what it found goes to the file plans.txt.
Scenario with_best_plan(const Options& options, const Scenario& scenario, Session& session, RunFolder& folder) {
  const ValidationTable none;
  const auto price = [&](const EvaluationSettings& settings) {
    return
        [&, settings](const Scenario& one) { return run_step(make_step_input(one, settings), none, session.bench()); };
  };
  EvaluationSettings closed_form = evaluation_settings(options);
  closed_form.fidelity = Evaluator::analytical;
  const PlanSearch search = search_plan(
      scenario, [&](const Scenario& one) { (void)make_step_input(one, closed_form); }, price(closed_form),
      price(evaluation_settings(options)));
  folder.write("plans.txt", search_text(search));
  if (!options.json) print(search_text(search));
  return with_candidate(scenario, search.priced.front());
}

// A training step over several GPUs: its own result and files.
int run_step_command(const Options& options, Scenario scenario) {
  const fs::path target = options.out.value_or(fs::path("runs") / scenario.name);
  RunFolder folder = RunFolder::at(target);
  Session session(options);
  if (scenario.plan.automatic) scenario = with_best_plan(options, scenario, session, folder);
  const StepInput input = make_step_input(scenario, evaluation_settings(options));
  const ValidationTable validation = ValidationTable::load(validation_table_file());
  const StepResult result = run_step(input, validation, session.bench());
  folder.write("scenario.textproto", scenario.resolved_text);
  folder.write("result.json", step_json(result));
  folder.write("memory.csv", step_memory_csv(result));
  folder.write("stages.csv", step_stages_csv(result));
  folder.write("tasks.csv", step_tasks_csv(result));
  folder.write("timeline.pftrace", step_trace(result));
  folder.commit();
  print(options.json ? step_json(result) : step_summary(result));
  session.progress().note("run folder: " + target.string());
  return 0;
}

}  // namespace

int run_command(const Options& options) {
  const Scenario scenario = load_scenario(options.inputs.front(), options.overrides);
  if (needs_step(scenario)) return run_step_command(options, scenario);
  const PassInput input = make_pass_input(scenario, evaluation_settings(options));
  const fs::path target = options.out.value_or(fs::path("runs") / scenario.name);
  RunFolder folder = RunFolder::at(target);  // before the work: an unwritable folder is said at once

  Session session(options);
  if (!scenario.axes.empty()) {
    session.progress().note("the sweep of " + options.inputs.front() +
                            " is not part of a run: this is the scenario's own point; all of them: lightcone sweep " +
                            options.inputs.front());
  }
  const ValidationTable validation = ValidationTable::load(validation_table_file());
  const RunResult result = run_pass(input, validation, session.bench());
  const bool same = holds(target, result, scenario.resolved_text);
  const bool earlier = fs::exists(target / "result.json");
  if (!same) {
    write_run(result, scenario.resolved_text, folder);
    folder.commit();
  }
  if (!options.no_plots && !has_plots(target)) {
    const std::string trouble = draw_plots("plot_run.py", target);
    if (!trouble.empty()) session.progress().note(trouble);
  }
  print(options.json ? to_json(result) : summary(result));
  session.progress().note("run folder: " + target.string() +
                          (same      ? " (held this very run already: left as it was)"
                           : earlier ? " (the earlier run in it was replaced; --out names another folder)"
                                     : ""));
  return 0;
}

}  // namespace lightcone::scenarios
