// SPDX-License-Identifier: Apache-2.0
// Work in child processes: the SystemC kernel is global, so every cycle-level simulation has a process of its own. A
// child computes one job and sends the answer as bytes through a pipe; its crash or time-out costs that job alone.
// Children die with their parent. Not a queue across machines.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "sim/base/error.h"

namespace lightcone::scenarios {

// SIGINT or SIGTERM arrived: everything that was finished is kept; the program exits with 130.
class Interrupted : public RunError {
 public:
  Interrupted() : RunError("interrupted; what was finished is kept, the same command goes on from there") {}
};

// While one lives, SIGINT and SIGTERM set a flag instead of ending the program. They nest.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool requested();
  static void check();  // throws Interrupted when requested
};

struct JobOutcome {
  bool ok = false;
  std::string payload;  // what the job returned
  std::string error;    // what went wrong, one line: an exception's text, the signal, the time-out
};

struct ProcessPoolOptions {
  unsigned jobs = 0;                    // children at once; 0: one per core
  std::chrono::milliseconds timeout{};  // of one job; 0: none
};

class ProcessPool {
 public:
  explicit ProcessPool(ProcessPoolOptions options = {});

  using Work = std::function<std::string(std::size_t job)>;            // runs in the child
  using Collect = std::function<void(std::size_t job, JobOutcome&&)>;  // runs here, in order of completion

  // Runs jobs 0 .. count-1, started in this order. Throws Interrupted (running children are ended), or what `collect`
  // throws, or RunError when no process can be started.
  void run(std::size_t count, const Work& work, const Collect& collect) const;

  [[nodiscard]] unsigned jobs() const { return options_.jobs; }

 private:
  ProcessPoolOptions options_;
};

}  // namespace lightcone::scenarios
