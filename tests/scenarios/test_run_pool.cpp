// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <set>
#include <thread>

#include "catch.h"
#include "scenarios/run/process_pool.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {
std::map<std::size_t, JobOutcome> run_all(const ProcessPool& pool, std::size_t count, const ProcessPool::Work& work) {
  std::map<std::size_t, JobOutcome> outcomes;
  pool.run(count, work, [&](std::size_t job, JobOutcome&& outcome) { outcomes.emplace(job, std::move(outcome)); });
  return outcomes;
}
}  // namespace

TEST_CASE("every job runs in a process of its own and its bytes come back whole") {
  const auto outcomes = run_all(ProcessPool({3, {}}), 7, [](std::size_t job) {
    return std::to_string(getpid()) + ' ' +
           std::string(job * 100000, static_cast<char>(job));  // more than a pipe holds
  });
  REQUIRE(outcomes.size() == 7);
  std::set<std::string> processes;
  for (const auto& [job, outcome] : outcomes) {
    REQUIRE(outcome.ok);
    const std::size_t space = outcome.payload.find(' ');
    processes.insert(outcome.payload.substr(0, space));
    REQUIRE(outcome.payload.substr(space + 1) == std::string(job * 100000, static_cast<char>(job)));
  }
  REQUIRE(processes.size() == 7);
  REQUIRE(processes.count(std::to_string(getpid())) == 0);
}

TEST_CASE("a crash, an exception and a time-out cost one job each, and say what happened") {
  const ProcessPool pool({2, std::chrono::milliseconds(300)});
  const auto outcomes = run_all(pool, 6, [](std::size_t job) -> std::string {
    if (job == 1) raise(SIGSEGV);
    if (job == 2) throw RunError("no such tile");
    if (job == 3) std::this_thread::sleep_for(std::chrono::seconds(60));
    if (job == 4) _exit(3);
    return "fine";
  });
  REQUIRE(outcomes.size() == 6);
  REQUIRE(outcomes.at(0).payload == "fine");
  REQUIRE(outcomes.at(1).error.find("Segmentation fault") != std::string::npos);
  REQUIRE(outcomes.at(2).error == "no such tile");
  REQUIRE(outcomes.at(3).error.find("time limit of 0.3 s") != std::string::npos);
  REQUIRE(outcomes.at(4).error.find("code 3") != std::string::npos);
  REQUIRE(outcomes.at(5).payload == "fine");
  for (const std::size_t bad : {1u, 2u, 3u, 4u}) REQUIRE_FALSE(outcomes.at(bad).ok);
}

TEST_CASE("pools nest: a job may run jobs") {
  const auto outcomes = run_all(ProcessPool({2, {}}), 3, [](std::size_t outer) {
    std::string text;
    ProcessPool({1, {}}).run(
        2, [outer](std::size_t inner) { return std::to_string(10 * outer + inner); },
        [&](std::size_t, JobOutcome&& inner) { text += inner.payload + ','; });
    return text;
  });
  REQUIRE(outcomes.at(2).payload == "20,21,");
}

TEST_CASE("an interrupt ends the pool at once and keeps what was collected") {
  const InterruptGuard guard;
  std::size_t collected = 0;
  const auto start = std::chrono::steady_clock::now();
  const auto interrupted = [&] {
    ProcessPool({1, {}}).run(
        5,
        [](std::size_t job) -> std::string {
          if (job == 1) {
            kill(getppid(), SIGINT);
            std::this_thread::sleep_for(std::chrono::seconds(60));
          }
          return "done";
        },
        [&](std::size_t, JobOutcome&& outcome) { collected += outcome.ok ? 1 : 0; });
  };
  REQUIRE_THROWS_AS(interrupted(), Interrupted);
  REQUIRE(collected == 1);
  REQUIRE(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}
