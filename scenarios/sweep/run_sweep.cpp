// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sweep/run_sweep.h"

#include "scenarios/run/kernel_store.h"
#include "scenarios/run/result_io.h"
#include "sim/base/content_hash.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {
namespace {

// What a worker sends: a result, or the text of the fault in its input.
constexpr char kResult = 'r', kWrongInput = 'w';

std::string work_on(const std::function<RunResult(std::size_t)>& run, std::size_t point) {
  try {
    return kResult + serialise(run(point));
  } catch (const ConfigError& error) {
    return kWrongInput + std::string(error.what());
  }
}

// Fills `finished` from the answer; false when the point failed and may be tried again.
bool read_answer(const JobOutcome& answer, FinishedPoint& finished) {
  if (!answer.ok) {
    finished.error = answer.error;
    return false;
  }
  const std::string body = answer.payload.substr(1);
  if (answer.payload[0] == kWrongInput) {
    finished.error = body;
    return true;
  }
  finished.result = parse_run_result(body);
  if (!finished.result) finished.error = "the worker sent an unreadable result";
  return finished.result.has_value();
}

}  // namespace

std::string point_id(const SweepPoint& point) {
  return ContentHash().add(point.identity).add(simulator_version()).hex();
}

std::vector<SweepRow> run_sweep(const std::vector<SweepPoint>& points, const std::function<RunResult(std::size_t)>& run,
                                SweepStore& store, const ProcessPool& pool, Progress& progress) {
  std::vector<SweepRow> rows;
  std::vector<std::size_t> missing;
  for (const SweepPoint& point : points) {
    auto known = store.get(point_id(point));
    if (!known) missing.push_back(rows.size());
    rows.push_back({point, known ? *std::move(known) : FinishedPoint{}, !known});
  }
  if (!missing.empty()) progress.start("points", missing.size());
  pool.run(
      missing.size(), [&](std::size_t job) { return work_on(run, missing[job]); },
      [&](std::size_t job, JobOutcome&& answer) {
        SweepRow& row = rows[missing[job]];
        if (read_answer(answer, row.outcome)) store.put(point_id(row.point), row.outcome);
        progress.advance(!row.outcome.result);
      });
  progress.finish();
  return rows;
}

}  // namespace lightcone::scenarios
