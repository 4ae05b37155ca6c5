// SPDX-License-Identifier: Apache-2.0
// One progress line with the time left, on standard error and only when that is a terminal.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace lightcone::scenarios {

// `[####....] 42 % 13/31 kernels, 1 failed, 12 s left`. A pure function, for tests.
std::string progress_line(const std::string& label, std::size_t done, std::size_t total, std::size_t failed,
                          double elapsed_seconds);

class Progress {
 public:
  explicit Progress(bool quiet = false);  // silent when quiet or when standard error is not a terminal
  ~Progress();                            // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void start(std::string label, std::size_t total);
  void advance(bool failed = false);
  void finish();                       // removes the line
  void note(const std::string& text);  // a line of its own on standard error (shown also when piped, not when quiet)

 private:
  void draw();

  bool quiet_;
  bool terminal_;
  bool drawn_ = false;
  std::string label_;
  std::size_t done_ = 0, failed_ = 0, total_ = 0;
  std::chrono::steady_clock::time_point started_, last_;
};

}  // namespace lightcone::scenarios
