// SPDX-License-Identifier: Apache-2.0
// Sweeps: nothing finished is computed twice, not after kill -9 either; a bad point costs itself.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "catch.h"
#include "scenarios/run/result_io.h"
#include "scenarios/run_values.h"
#include "scenarios/sweep/run_sweep.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;
namespace fs = std::filesystem;

namespace {

std::vector<SweepPoint> points_of(std::size_t count) {
  std::vector<SweepPoint> points;
  for (std::size_t i = 0; i < count; ++i) {
    points.push_back({{{"workload.batch", std::to_string(i)}}, "scenario with batch " + std::to_string(i)});
  }
  return points;
}

RunResult result_of(std::size_t point) {
  RunResult r = test::summarised(test::example());
  r.batch = point;
  return r;
}

struct Sweep {
  const test::TemporaryFolder folder;
  std::vector<std::string> warnings;
  Progress progress{true};
  std::vector<SweepRow> run(std::size_t count, const std::function<RunResult(std::size_t)>& function) {
    SweepStore store(folder.path(), [this](const std::string& text) { warnings.push_back(text); });
    return run_sweep(points_of(count), function, store, ProcessPool({2, {}}), progress);
  }
};

std::size_t computed(const std::vector<SweepRow>& rows) {
  return static_cast<std::size_t>(
      std::count_if(rows.begin(), rows.end(), [](const SweepRow& r) { return r.computed; }));
}

RunResult never(std::size_t) { throw RunError("computed again"); }

}  // namespace

TEST_CASE("a sweep started again computes only new points") {
  Sweep sweep;
  const auto first = sweep.run(5, result_of);
  REQUIRE(computed(first) == 5);
  const auto second = sweep.run(5, never);
  REQUIRE(computed(second) == 0);
  for (std::size_t i = 0; i < 5; ++i) {
    REQUIRE(second[i].outcome.result->batch == i);
    REQUIRE(serialise(*second[i].outcome.result) == serialise(*first[i].outcome.result));
  }
  REQUIRE(points_csv(first) == points_csv(second));
  REQUIRE(computed(sweep.run(7, result_of)) == 2);
}

TEST_CASE("wrong input is a point's final answer, a crash is tried again") {
  Sweep sweep;
  const auto bad = [](std::size_t point) -> RunResult {
    if (point == 1) throw ConfigError("does not fit\nsecond line");
    if (point == 2) raise(SIGKILL);
    return result_of(point);
  };
  const auto first = sweep.run(4, bad);
  REQUIRE(first[0].outcome.result);
  REQUIRE(first[1].outcome.error == "does not fit\nsecond line");
  REQUIRE(first[2].outcome.error.find("Killed") != std::string::npos);
  REQUIRE(first[3].outcome.result);
  const auto second = sweep.run(4, result_of);
  REQUIRE(computed(second) == 1);
  REQUIRE(second[2].computed);
  REQUIRE(second[2].outcome.result);
  REQUIRE(second[1].outcome.error.find("does not fit") == 0);
}

TEST_CASE("kill -9 in the middle loses no finished point") {
  Sweep sweep;
  const pid_t child = fork();
  if (child == 0) {
    sweep.run(6, [](std::size_t point) {
      if (point >= 3) std::this_thread::sleep_for(std::chrono::seconds(60));
      return result_of(point);
    });
    _exit(0);
  }
  bool three_done = false;
  for (int i = 0; i < 1000 && !three_done; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    SweepStore store(sweep.folder.path(), [](const std::string&) {});
    const auto points = points_of(3);
    three_done = std::all_of(points.begin(), points.end(),
                             [&](const SweepPoint& p) { return store.get(point_id(p)).has_value(); });
  }
  kill(child, SIGKILL);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  REQUIRE(three_done);
  const auto rows = sweep.run(6, result_of);
  REQUIRE(computed(rows) == 3);
  for (std::size_t i = 0; i < 6; ++i) REQUIRE(rows[i].computed == (i >= 3));
  REQUIRE(sweep.warnings.empty());
}

TEST_CASE("a damaged sweep store is moved aside with a warning") {
  Sweep sweep;
  std::ofstream(sweep.folder.path() / "sweep.sqlite") << std::string(5000, 'z');
  REQUIRE(computed(sweep.run(2, result_of)) == 2);
  REQUIRE(sweep.warnings.size() == 1);
  REQUIRE(fs::exists(sweep.folder.path() / "sweep.sqlite.corrupt-1"));
}

TEST_CASE("a sweep whose points could not be kept is not begun") {
  REQUIRE_THROWS_AS(SweepStore("/proc/nowhere", [](const std::string&) {}), RunError);
}

TEST_CASE("the tables have axes, status and figures, failed points included") {
  Sweep sweep;
  const auto rows = sweep.run(2, [](std::size_t point) -> RunResult {
    if (point == 1) throw ConfigError("too big, sadly\nmore");
    return result_of(point);
  });
  const std::string csv = points_csv(rows);
  REQUIRE(csv.find("workload.batch,status,latency_ms,tokens_per_s,") == 0);
  REQUIRE(csv.find("\n0,done,0.58,100000,") != std::string::npos);
  REQUIRE(csv.find("\n1,\"too big, sadly\",,") != std::string::npos);
  const std::string table = points_table(rows);
  REQUIRE(table.find("up: tensor") != std::string::npos);
  REQUIRE(table.find("too big, sadly") != std::string::npos);
  const auto json = nlohmann::json::parse(points_json(rows));
  REQUIRE(json[0]["latency_ms"].get<double>() == Approx(0.58));
  REQUIRE(json[1]["status"] == "too big, sadly\nmore");
}
