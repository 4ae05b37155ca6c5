// SPDX-License-Identifier: Apache-2.0
// A static batch as benchmarks of inference engines run it: all prompts at once, then a decode step per further token
// until every sequence has its tokens; nothing joins or leaves, and the host is never waited for. Steps are priced at a
// few lengths of the context and in between along straight lines: attention reads in proportion to it.
#pragma once

#include <cstdint>
#include <string>

#include "scenarios/load/scenario.h"
#include "scenarios/run/run_pass.h"
#include "scenarios/validate/measured_row.h"

namespace lightcone::scenarios {

struct StaticBatch {
  Scenario scenario;  // model, machine, plan; the workload is that of the passes
  KernelLibrary library = KernelLibrary::automatic;
  std::uint64_t batch = 1, prompt_tokens = 1;
  std::uint64_t generated_tokens = 1;  // of each sequence, the prefill's own included
};

struct StaticBatchTime {
  Seconds prefill, decode;  // all steps
  Seconds communication;    // of both, not hidden
  std::uint64_t gpus = 1;
  [[nodiscard]] Seconds total() const { return prefill + decode; }
};

// Throws ConfigError when a pass does not fit the memory or cannot be mapped.
StaticBatchTime time_static_batch(const StaticBatch& batch, const EvaluationSettings& settings, const Workbench& bench);

// The static batch of a measured row (ops e2e_throughput of TensorRT-LLM's gptSessionBenchmark, version 0.6.1: kernels
// launched one by one). Throws ConfigError for rows of another kind.
StaticBatch static_batch_of(const OperatingPoint& point);

}  // namespace lightcone::scenarios
