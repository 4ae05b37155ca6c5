// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace lightcone::scenarios {
namespace {

std::string time_left(double seconds) {
  const long s = std::lround(seconds);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

}  // namespace

std::string progress_line(const std::string& label, std::size_t done, std::size_t total, std::size_t failed,
                          double elapsed_seconds) {
  constexpr std::size_t kWidth = 24;
  const double fraction = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  const auto filled = static_cast<std::size_t>(fraction * kWidth);
  std::string line = fmt::format("[{}{}] {:3.0f} % {}/{} {}", std::string(filled, '#'),
                                 std::string(kWidth - filled, '.'), 100 * fraction, done, total, label);
  if (failed > 0) line += fmt::format(", {} failed", failed);
  if (done > 0 && done < total)
    line += fmt::format(", {} left", time_left(elapsed_seconds * (1 - fraction) / fraction));
  return line;
}

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(!quiet && isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { finish(); }

void Progress::start(std::string label, std::size_t total) {
  finish();
  label_ = std::move(label);
  done_ = failed_ = 0;
  total_ = total;
  started_ = std::chrono::steady_clock::now();
  last_ = {};
  draw();
}

void Progress::advance(bool failed) {
  ++done_;
  if (failed) ++failed_;
  draw();
}

void Progress::draw() {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || total_ == 0 || (done_ < total_ && now - last_ < std::chrono::milliseconds(100))) return;
  last_ = now;
  drawn_ = true;
  const double elapsed = std::chrono::duration<double>(now - started_).count();
  fmt::print(stderr, "\r{}\x1b[K", progress_line(label_, done_, total_, failed_, elapsed));
  std::fflush(stderr);
}

void Progress::finish() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
  drawn_ = false;
  total_ = 0;
}

void Progress::note(const std::string& text) {
  if (quiet_) return;
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
  drawn_ = false;
  fmt::print(stderr, "{}\n", text);
}

}  // namespace lightcone::scenarios
