// SPDX-License-Identifier: Apache-2.0
// Sweeps: nothing finished is computed twice, not after kill -9 either; a bad point costs itself.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "catch.h"
#include "program.h"
#include "scenarios/run/result_io.h"
#include "scenarios/run_values.h"
#include "scenarios/sweep/run_sweep.h"
#include "sim/base/content_hash.h"
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

TEST_CASE("a finished point is known by everything that decides its result") {
  const SweepPoint point = points_of(1).front();
  SweepPoint other = point;
  REQUIRE(point_id(other) == point_id(point));
  other.identity += " and more";
  REQUIRE(point_id(other) != point_id(point));
  // Not the identity alone: an id made without the version of the sources would outlive a change of them.
  REQUIRE(answer_version().size() == 16);
  REQUIRE(point_id(point) == ContentHash().add(point.identity).add(answer_version()).hex());
}

TEST_CASE("the version of the answer covers every source between a scenario and its result") {
  const fs::path build = fs::path(LIGHTCONE_PROGRAM).parent_path();
  std::set<std::string> covered;
  std::ifstream list(build / "answer_sources.txt");
  for (std::string line; std::getline(list, line);) covered.insert(line);
  const fs::path root = LIGHTCONE_SOURCE_DIR;
  for (const char* folder :
       {"sim", "models", "hardware", "workloads", "scenarios/load", "scenarios/mapping", "scenarios/run"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string ending = entry.path().extension().string();
      if (ending != ".cpp" && ending != ".h" && ending != ".proto") continue;
      INFO(entry.path());
      CHECK(covered.count(fs::relative(entry.path(), root).generic_string()) == 1);
    }
  }
}

TEST_CASE("a version changes with the contents and the names of its sources, and with nothing else") {
  const test::TemporaryFolder folder;
  const auto put = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder.path() / name) << text;
  };
  const auto version = [&] {
    const std::string command = "cd '" + folder.path().string() +
                                "' && cmake -DSOURCES_FILE=list.txt -DMACRO=V -DOUTPUT=out.h -P '" LIGHTCONE_SOURCE_DIR
                                "/scenarios/run/version_header.cmake'";
    REQUIRE(std::system(command.c_str()) == 0);
    return test::read_file(folder.path() / "out.h");
  };
  put("a.cpp", "int a;");
  put("b.cpp", "int b;");
  put("list.txt", "a.cpp\nb.cpp\n");
  const std::string first = version();
  REQUIRE(first.find("#define V \"") != std::string::npos);
  const auto written = fs::last_write_time(folder.path() / "out.h");
  REQUIRE(version() == first);
  REQUIRE(fs::last_write_time(folder.path() / "out.h") == written);
  put("b.cpp", "int c;");
  const std::string changed = version();
  REQUIRE(changed != first);
  put("list.txt", "a.cpp\n");
  REQUIRE(version() != changed);
  put("list.txt", "a.cpp\nb.cpp\n");
  put("b.cpp", "int b;");
  REQUIRE(version() == first);
}

TEST_CASE("a change of a file that the scenario refers to computes its points again") {
  const test::Program lightcone;
  const auto clock = [&](const char* ghz) {
    (void)lightcone.file("machine.textproto",
                         std::string("base: \"h100_sxm\" gpu { clock { boost_ghz: ") + ghz + " } }\n");
  };
  const std::string scenario = lightcone.file(
      "sweep.textproto",
      "model { base: \"llama3_8b\" }\nmachine { base: \"machine.textproto\" }\nworkload { base: \"prefill_4k\" }\n"
      "sweep { axis { path: \"workload.prefill.prompt_tokens\" values: [\"128\"] } }\n");
  const auto latency = [&] {
    const test::Outcome outcome = lightcone("sweep --json --quiet --no-plots --fidelity analytical " + scenario +
                                            " --out " + (lightcone.folder() / "out").string());
    INFO(outcome.error);
    REQUIRE(outcome.code == 0);
    return nlohmann::json::parse(outcome.out)[0]["latency_ms"].get<double>();
  };
  const auto points = [&] {
    SweepStore store(lightcone.folder() / "out", [](const std::string&) {});
    return store.size();
  };
  clock("1.7");
  const double slow = latency();
  REQUIRE(latency() == slow);
  REQUIRE(points() == 1);
  clock("1.2");
  REQUIRE(latency() > slow);
  REQUIRE(points() == 2);
  clock("1.7");
  REQUIRE(latency() == slow);
  REQUIRE(points() == 2);
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
