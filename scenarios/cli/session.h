// SPDX-License-Identifier: Apache-2.0
// What every command that evaluates kernels needs: the evaluators, the kernel store, the process pool, the progress
// line. And the two ways out: standard output and files.
#pragma once

#include <filesystem>
#include <string_view>

#include "scenarios/cli/options.h"
#include "scenarios/run/evaluate_kernels.h"

namespace lightcone::scenarios {

class Session {
 public:
  explicit Session(const Options& options);
  [[nodiscard]] Workbench bench() { return {evaluators_, store_, pool_, progress_}; }
  [[nodiscard]] Progress& progress() { return progress_; }
  [[nodiscard]] const ProcessPool& pool() const { return pool_; }
  [[nodiscard]] const Evaluators& evaluators() const { return evaluators_; }

 private:
  Progress progress_;
  InterruptGuard guard_;
  Evaluators evaluators_;
  KernelStore store_;
  ProcessPool pool_;
};

// Fidelity and sampling as the options ask; the launch mode comes from the scenario or the data set.
EvaluationSettings evaluation_settings(const Options& options);

// Text to standard output. Throws RunError when it cannot be written (full disk, closed pipe).
void print(std::string_view text);

// A whole file at once, through a temporary name beside it: an earlier file stays when the disk is full. Makes the
// folder. Throws RunError.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// Whether `write_file` will find a place, asked before work that takes long. Makes the folder. Throws RunError.
void check_writable(const std::filesystem::path& path);

}  // namespace lightcone::scenarios
