// SPDX-License-Identifier: Apache-2.0
// The files of a run folder: scenario.textproto, result.json, result.pb, operators.csv, kernels.csv, utilisation.csv
// and timeline.pftrace (analysis/README.md describes the columns). Same result, same bytes.
#pragma once

#include <filesystem>
#include <string>

#include "scenarios/run/run_folder.h"
#include "scenarios/run/run_result.h"

namespace lightcone::scenarios {

std::string operators_csv(const RunResult& result);
std::string kernels_csv(const RunResult& result);
std::string utilisation_csv(const RunResult& result);

// Writes all files; the caller commits the folder. `resolved_scenario`: text format, every default filled in.
void write_run(const RunResult& result, const std::string& resolved_scenario, RunFolder& folder);

struct StoredRun {
  RunResult result;
  std::string resolved_scenario;
};
// Reads a run folder back. Throws ConfigError when it is not one or was written by another version.
StoredRun read_run(const std::filesystem::path& folder);

// Draws the plots with a script of analysis/ and the system's Python. Returns what went wrong, in one line; empty:
// nothing. Plots are an extra: a missing Python or matplotlib does not fail a run.
std::string draw_plots(const std::string& script, const std::filesystem::path& folder);

}  // namespace lightcone::scenarios
