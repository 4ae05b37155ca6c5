// SPDX-License-Identifier: Apache-2.0
// Run folders: complete, atomic, the same bytes twice, clear faults.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "catch.h"
#include "scenarios/run/result_json.h"
#include "scenarios/run/timeline.h"
#include "scenarios/run/write_run.h"
#include "scenarios/run_values.h"
#include "sim/base/csv.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;
namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

fs::path write_to(RunFolder folder) {
  write_run(test::summarised(test::example()), "model { }\n", folder);
  return folder.commit();
}

std::vector<CsvRow> rows_of(const std::string& csv, std::vector<std::string>* header = nullptr) {
  std::istringstream in(csv);
  CsvReader reader(in, "test");
  if (header != nullptr) *header = reader.header();
  std::vector<CsvRow> rows;
  while (auto row = reader.next()) rows.push_back(*row);
  return rows;
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("two runs of one result write the same bytes under successive numbers") {
  const test::TemporaryFolder folder;
  const fs::path one = write_to(RunFolder::numbered(folder.path() / "runs", "example"));
  const fs::path two = write_to(RunFolder::numbered(folder.path() / "runs", "example"));
  REQUIRE(one.filename() == "example-1");
  REQUIRE(two.filename() == "example-2");
  REQUIRE(entries(folder.path() / "runs") == 2);  // nothing temporary is left
  for (const char* name : {"scenario.textproto", "result.json", "result.pb", "operators.csv", "kernels.csv",
                           "utilisation.csv", "timeline.pftrace"}) {
    INFO(name);
    REQUIRE_FALSE(content(one / name).empty());
    REQUIRE(content(one / name) == content(two / name));
  }
  REQUIRE(entries(one) == 7);
}

TEST_CASE("a run folder reads back whole; anything else is refused by name") {
  const test::TemporaryFolder folder;
  const fs::path run = write_to(RunFolder::at(folder.path() / "out"));
  REQUIRE(to_json(read_run(run).result) == content(run / "result.json"));
  REQUIRE(read_run(run).resolved_scenario == "model { }\n");
  REQUIRE_THROWS_AS(read_run(folder.path()), ConfigError);
  std::ofstream(run / "result.pb") << "garbage";
  REQUIRE_THROWS_AS(read_run(run), ConfigError);
}

TEST_CASE("an existing run folder is replaced, any other folder is left alone") {
  const test::TemporaryFolder folder;
  write_to(RunFolder::at(folder.path() / "out"));
  std::ofstream(folder.path() / "out" / "old.txt") << "old";
  write_to(RunFolder::at(folder.path() / "out/"));
  REQUIRE_FALSE(fs::exists(folder.path() / "out" / "old.txt"));
  REQUIRE(entries(folder.path()) == 1);
  fs::create_directory(folder.path() / "mine");
  std::ofstream(folder.path() / "mine" / "thesis.txt") << "text";
  REQUIRE_THROWS_AS(RunFolder::at(folder.path() / "mine"), ConfigError);
  REQUIRE(content(folder.path() / "mine" / "thesis.txt") == "text");
}

TEST_CASE("a folder that is not committed leaves nothing, and the earlier result stays") {
  const test::TemporaryFolder folder;
  const fs::path run = write_to(RunFolder::at(folder.path() / "out"));
  const std::string before = content(run / "result.json");
  {
    RunFolder next = RunFolder::at(run);
    next.write("result.json", "half");
  }
  REQUIRE(content(run / "result.json") == before);
  REQUIRE(entries(folder.path()) == 1);
}

TEST_CASE("nothing can be written: a RunError with path and reason") {
  try {
    RunFolder::at("/proc/nowhere/out");
    FAIL("no error");
  } catch (const RunError& error) {
    REQUIRE(std::string(error.what()).find("/proc/nowhere") != std::string::npos);
  }
}

TEST_CASE("a write that the system cuts short is a RunError, and nothing appears") {
  const test::TemporaryFolder folder;
  const pid_t child = fork();  // a file-size limit stands for the full disk
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      RunFolder run = RunFolder::at(folder.path() / "out");
      run.write("result.json", std::string(100000, 'x'));
      run.commit();
    } catch (const RunError& error) {
      _exit(std::string(error.what()).find("cannot write result.json: File too large") != std::string::npos ? 7 : 1);
    }
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WEXITSTATUS(status) == 7);
  REQUIRE(entries(folder.path()) == 0);
}

TEST_CASE("operators.csv has one row per operator whose reasons sum to its time") {
  std::vector<std::string> header;
  const auto rows = rows_of(operators_csv(test::summarised(test::example())), &header);
  REQUIRE(rows.size() == 3);
  REQUIRE(rows[0].cells[1] == "up");
  const auto column = [&](const std::string& name) {
    return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  };
  for (const CsvRow& row : rows) {
    double sum = 0;
    for (const std::string_view reason : kCycleReasonNames)
      sum += std::stod(row.cells.at(column(std::string(reason) + "_us")));
    REQUIRE(sum == Approx(std::stod(row.cells.at(column("time_us")))));
  }
  REQUIRE(rows[0].cells.at(column("total_us")) == "400");
  REQUIRE(rows[1].cells.at(column("kernels")) == "norm_bb;norm_bb");
}

TEST_CASE("kernels.csv and utilisation.csv cover the pass") {
  const RunResult result = test::summarised(test::example());
  REQUIRE(rows_of(kernels_csv(result)).size() == 2);
  const auto samples = rows_of(utilisation_csv(result));
  REQUIRE(samples.size() == 2 * (4 * 3 + 1));  // two samples per kernel execution
  double end = 0;
  for (const CsvRow& row : samples) {  // without gap or overlap from 0 to the latency
    REQUIRE(std::stod(row.cells[0]) == Approx(end));
    end = std::stod(row.cells[1]);
  }
  REQUIRE(end == Approx(580));
}

TEST_CASE("executions follow the sections: all operators of a layer, then the next layer") {
  const auto spans = kernel_spans(test::summarised(test::example()));
  REQUIRE(spans.size() == 13);
  REQUIRE(spans[0].operator_row == 0);
  REQUIRE(spans[1].operator_row == 1);
  REQUIRE(spans[3].operator_row == 0);
  REQUIRE(spans[3].repetition == 1);
  REQUIRE(spans[12].operator_row == 2);
  REQUIRE(spans[12].end.count() == Approx(580e-6));
}

TEST_CASE("many samples are merged without changing their mean; none become one flat sample") {
  KernelResult k = test::kernel("k", 100, {}, 0);
  k.timeline.clear();
  k.work.hbm_read = Bytes(3'000'000);
  k.work.hbm_written = Bytes(1'000'000);
  const BytesPerSecond peak(80e9);
  REQUIRE(utilisation(k, peak).size() == 1);
  REQUIRE(utilisation(k, peak)[0].tensor == Approx(0.8));
  REQUIRE(utilisation(k, peak)[0].hbm == Approx(0.5));  // 4 MB in 100 us at 80 GB/s, whatever the bound says
  for (int i = 0; i < 100; ++i) k.timeline.push_back({1.0 * i, i + 1.0, 0.01 * i, 0, 0, 0, 0, 0});
  const auto merged = utilisation(k, peak);
  REQUIRE(merged.size() == 16);
  double mean = 0;
  for (const UtilisationSample& s : merged) mean += s.tensor * (s.end_us - s.start_us) / 100;
  REQUIRE(mean == Approx(0.495));
}

TEST_CASE("a missing script is a note, not a failure") {
  REQUIRE(draw_plots("no_such_script.py", "/tmp").find("the plots are not complete: ") == 0);
}
