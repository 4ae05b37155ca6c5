// SPDX-License-Identifier: Apache-2.0
// What every command that evaluates kernels needs, made once from the options.
#pragma once

#include "scenarios/cli/options.h"
#include "scenarios/run/evaluate_kernels.h"
#include "scenarios/run/kernel_store.h"
#include "scenarios/run/process_pool.h"
#include "scenarios/run/progress.h"

namespace lightcone::scenarios {

class CommandBench {
 public:
  explicit CommandBench(const Options& options)
      : evaluators_(real_evaluators()),
        progress_(options.quiet),
        store_(KernelStoreOptions{cache_folder(), std::chrono::milliseconds(10000),
                                  [this](const std::string& text) { progress_.note(text); }}),
        pool_(ProcessPoolOptions{options.jobs, {}}),
        bench_{evaluators_, store_, pool_, progress_} {}

  [[nodiscard]] const Workbench& bench() const { return bench_; }

  static EvaluationSettings settings(const Options& options) {
    EvaluationSettings out;
    out.fidelity = options.fidelity;
    out.options.exact = options.exact;
    return out;
  }

 private:
  Evaluators evaluators_;
  Progress progress_;
  KernelStore store_;
  ProcessPool pool_;
  Workbench bench_;
};

}  // namespace lightcone::scenarios
