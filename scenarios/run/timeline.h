// SPDX-License-Identifier: Apache-2.0
// The pass as a timeline: every execution of every operator and kernel in order, with utilisation, clock and power.
#pragma once

#include <string>
#include <vector>

#include "scenarios/run/run_result.h"

namespace lightcone::scenarios {

// One execution of a kernel in the pass.
struct KernelSpan {
  std::size_t operator_row = 0;
  std::uint64_t repetition = 0;  // of its section, from 0
  std::size_t kernel_row = 0;
  Seconds start, end;
};

// Executions in order: sections are runs of operators that share section and repeat; each section repeats as a whole.
std::vector<KernelSpan> kernel_spans(const RunResult& result);

// Utilisation over one execution of a kernel: its samples, merged to at most 16, or one flat sample when the
// evaluator kept none (analytical): from its bounds, and for HBM from the bytes moved at the rate `hbm_peak`, since the
// bound leaves out what might stay in the L2. Times in us from the kernel's start.
std::vector<UtilisationSample> utilisation(const KernelResult& kernel, BytesPerSecond hbm_peak);

// The timeline for the Perfetto viewer: tracks for sections, operators and kernels; counters for tensor-core, L2 and
// HBM utilisation, SM clock and power.
std::string perfetto_trace(const RunResult& result);

}  // namespace lightcone::scenarios
