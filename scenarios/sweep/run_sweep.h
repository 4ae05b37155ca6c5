// SPDX-License-Identifier: Apache-2.0
// Many points, each a run of its own in a worker process. Finished points are kept at once; the same sweep started
// again computes only what is missing. Random search, Pareto fronts and several hosts are not covered here.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "scenarios/run/process_pool.h"
#include "scenarios/run/progress.h"
#include "scenarios/run/run_result.h"
#include "scenarios/sweep/sweep_store.h"

namespace lightcone::scenarios {

struct SweepPoint {
  std::vector<std::pair<std::string, std::string>> axes;  // field path, value: in the order of the scenario
  // Everything given that decides its result: the resolved scenario (the contents of every file it refers to),
  // fidelity, options and the validation table.
  std::string identity;
};

struct SweepRow {
  SweepPoint point;
  FinishedPoint outcome;
  bool computed = false;  // in this call, not found in the store
};

// A hash over the sources of everything between a scenario and its result: models, workloads, mapping, hardware, the
// ground, and how results are summed up.
std::string answer_version();

// The point's key in the store: hash of its identity and of `answer_version`.
std::string point_id(const SweepPoint& point);

// One row per point, in order. `run` computes point i; it is called in a worker process, throws ConfigError when the
// point's input is wrong (kept as its final answer) and any other exception when it failed (tried again next time).
// Throws Interrupted; everything finished is kept.
std::vector<SweepRow> run_sweep(const std::vector<SweepPoint>& points, const std::function<RunResult(std::size_t)>& run,
                                SweepStore& store, const ProcessPool& pool, Progress& progress);

// `points.csv` of the sweep: axes, `status`, then results (analysis/README.md).
std::string points_csv(const std::vector<SweepRow>& rows);
// The table for a terminal.
std::string points_table(const std::vector<SweepRow>& rows);
// The same as JSON: an array of points.
std::string points_json(const std::vector<SweepRow>& rows);

}  // namespace lightcone::scenarios
