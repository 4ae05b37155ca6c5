// SPDX-License-Identifier: Apache-2.0
// `explain RUN`: what limits a run, by how much, and what would help next.
#include <filesystem>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/explain.h"
#include "scenarios/run/pass_input.h"
#include "scenarios/run/write_run.h"

namespace lightcone::scenarios {

int explain_command(const Options& options) {
  const std::filesystem::path folder = options.inputs.front();
  const StoredRun run = read_run(folder);
  const Scenario scenario = load_scenario((folder / "scenario.textproto").string(), {});
  EvaluationSettings settings;
  settings.fidelity = run.result.provenance.evaluator;
  const PassInput input = make_pass_input(scenario, settings);
  const ExplanationNode root = explain(input, map_nodes(input), run.result, real_evaluators().analytical);
  print(options.json ? explanation_json(root) : explanation_text(root));
  return 0;
}

}  // namespace lightcone::scenarios
