// SPDX-License-Identifier: Apache-2.0
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "catch.h"
#include "scenarios/kernel_values.h"
#include "scenarios/run/kernel_store.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;
namespace fs = std::filesystem;

namespace {

KernelStoreOptions options_for(const fs::path& folder, std::vector<std::string>* warnings = nullptr,
                               std::chrono::milliseconds busy = std::chrono::seconds(10)) {
  return {folder, busy, [warnings](const std::string& text) {
            if (warnings != nullptr) warnings->push_back(text);
          }};
}

void sql(const fs::path& file, const char* text) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
  REQUIRE(sqlite3_exec(database, text, nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

std::string key(int i) { return "key" + std::to_string(i); }

// Forks a writer of keys first, first+1, ...; it reports each committed key as one byte on the pipe.
pid_t start_writer(const fs::path& folder, int first, int count, int report) {
  const pid_t pid = fork();
  if (pid == 0) {
    KernelStore store(options_for(folder));
    for (int i = first; i < first + count; ++i) {
      store.put(key(i), test::distinct_result(i));
      if (write(report, "x", 1) != 1) _exit(1);
    }
    _exit(store.enabled() ? 0 : 1);
  }
  return pid;
}

}  // namespace

TEST_CASE("what is put is got by every later store, and only under its key") {
  const test::TemporaryFolder folder;
  {
    KernelStore store(options_for(folder.path() / "new" / "cache"));
    REQUIRE(store.enabled());
    REQUIRE_FALSE(store.get("a"));
    store.put("a", test::distinct_result(5));
    REQUIRE(store.stats().stored == 1);
    REQUIRE(store.stats().misses == 1);
  }
  KernelStore store(options_for(folder.path() / "new" / "cache"));
  REQUIRE(store.get("a")->time == Seconds(5e-3));
  REQUIRE_FALSE(store.get("b"));
  REQUIRE(store.stats().hits == 1);
}

TEST_CASE("the key depends on everything that decides a result") {
  const hardware::EvaluateOptions plain;
  hardware::EvaluateOptions exact, stream, tight;
  exact.exact = true;
  stream.launch = hardware::LaunchMode::stream;
  tight.sampling_tolerance = 0.001;
  const std::string base = kernel_key("p", "g", Evaluator::cycle, plain);
  REQUIRE(base == kernel_key("p", "g", Evaluator::cycle, plain));
  for (const std::string& other :
       {kernel_key("q", "g", Evaluator::cycle, plain), kernel_key("p", "h", Evaluator::cycle, plain),
        kernel_key("p", "g", Evaluator::analytical, plain), kernel_key("p", "g", Evaluator::cycle, exact),
        kernel_key("p", "g", Evaluator::cycle, stream), kernel_key("p", "g", Evaluator::cycle, tight)}) {
    REQUIRE(other != base);
  }
  REQUIRE(simulator_version().size() == 16);
}

TEST_CASE("two processes write at once and lose nothing") {
  const test::TemporaryFolder folder;
  int report[2];
  REQUIRE(pipe(report) == 0);
  const pid_t one = start_writer(folder.path(), 1, 100, report[1]);
  const pid_t two = start_writer(folder.path(), 1001, 100, report[1]);
  int status = 0;
  REQUIRE(waitpid(one, &status, 0) == one);
  REQUIRE(status == 0);
  REQUIRE(waitpid(two, &status, 0) == two);
  REQUIRE(status == 0);
  KernelStore store(options_for(folder.path()));
  for (int i = 1; i <= 100; ++i) {
    REQUIRE(store.get(key(i))->time == Seconds(i * 1e-3));
    REQUIRE(store.get(key(1000 + i))->time == Seconds((1000 + i) * 1e-3));
  }
}

TEST_CASE("kill -9 of a writer loses nothing that was committed") {
  const test::TemporaryFolder folder;
  int report[2];
  REQUIRE(pipe(report) == 0);
  const pid_t writer = start_writer(folder.path(), 1, 1000000, report[1]);
  close(report[1]);
  char byte = 0;
  for (int i = 0; i < 50; ++i) REQUIRE(read(report[0], &byte, 1) == 1);
  kill(writer, SIGKILL);
  REQUIRE(waitpid(writer, nullptr, 0) == writer);
  int committed = 50;
  while (read(report[0], &byte, 1) == 1) ++committed;
  std::vector<std::string> warnings;
  KernelStore store(options_for(folder.path(), &warnings));
  for (int i = 1; i <= committed; ++i) REQUIRE(store.get(key(i)));
  REQUIRE(warnings.empty());
}

TEST_CASE("a file that is no database is moved aside, once, and a new one is begun") {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "kernels.sqlite") << std::string(100000, 'x');
  std::vector<std::string> warnings;
  KernelStore store(options_for(folder.path(), &warnings));
  REQUIRE(store.enabled());
  REQUIRE(warnings.size() == 1);
  REQUIRE(warnings[0].find("kernels.sqlite.corrupt-1") != std::string::npos);
  REQUIRE(fs::file_size(folder.path() / "kernels.sqlite.corrupt-1") == 100000);
  store.put("a", test::distinct_result());
  REQUIRE(store.get("a"));
}

TEST_CASE("damage inside a database never becomes a result") {
  const test::TemporaryFolder folder;
  {
    KernelStore store(options_for(folder.path()));
    for (int i = 0; i < 200; ++i) store.put(key(i), test::distinct_result(i));
  }
  {
    std::fstream file(folder.path() / "kernels.sqlite", std::ios::in | std::ios::out | std::ios::binary);
    for (int at = 5000; at < 60000; at += 3001) {
      file.seekp(at);
      file << "garbage";
    }
  }
  std::vector<std::string> warnings;
  KernelStore store(options_for(folder.path(), &warnings));
  for (int i = 0; i < 200; ++i) {
    const auto found = store.get(key(i));
    if (found) REQUIRE(found->time == Seconds(i * 1e-3));
  }
  store.put("new", test::distinct_result(7));
  REQUIRE(store.get("new")->time == Seconds(7e-3));
}

TEST_CASE("a file of another version stays as it is, and another name is used") {
  const test::TemporaryFolder folder;
  sql(folder.path() / "kernels.sqlite", "CREATE TABLE other(x); INSERT INTO other VALUES(1); PRAGMA user_version=99");
  std::vector<std::string> warnings;
  KernelStore store(options_for(folder.path(), &warnings));
  REQUIRE(store.enabled());
  REQUIRE(store.path().filename() == "kernels-v1.sqlite");
  REQUIRE(warnings.size() == 1);
  REQUIRE(warnings[0].find("schema version 99") != std::string::npos);
  sql(folder.path() / "kernels.sqlite", "INSERT INTO other VALUES(2)");
}

TEST_CASE("a locked store is waited for, then said to be locked, and the run goes on") {
  const test::TemporaryFolder folder;
  { KernelStore create(options_for(folder.path())); }
  sqlite3* holder = nullptr;
  REQUIRE(sqlite3_open((folder.path() / "kernels.sqlite").c_str(), &holder) == SQLITE_OK);
  REQUIRE(sqlite3_exec(holder, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr) == SQLITE_OK);
  std::vector<std::string> warnings;
  KernelStore store(options_for(folder.path(), &warnings, std::chrono::milliseconds(200)));
  const auto start = std::chrono::steady_clock::now();
  store.put("a", test::distinct_result());
  REQUIRE(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(150));
  REQUIRE(warnings.size() == 1);
  REQUIRE(warnings[0].find("locked by another process") != std::string::npos);
  REQUIRE_FALSE(store.enabled());
  REQUIRE_FALSE(store.get("a"));
  store.put("b", test::distinct_result());
  REQUIRE(warnings.size() == 1);
  sqlite3_exec(holder, "COMMIT", nullptr, nullptr, nullptr);
  sqlite3_close(holder);
}

TEST_CASE("a store that cannot exist is one warning") {
  std::vector<std::string> warnings;
  KernelStore store(options_for("/proc/no/such", &warnings));
  REQUIRE_FALSE(store.enabled());
  REQUIRE(warnings.size() == 1);
  store.put("a", test::distinct_result());
  REQUIRE_FALSE(store.get("a"));
  REQUIRE(warnings.size() == 1);
}
