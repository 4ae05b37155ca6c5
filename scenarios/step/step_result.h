// SPDX-License-Identifier: Apache-2.0
// What a training step over many GPUs says of itself: time, throughput, where the time of each stage went, memory. A
// plain value.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "scenarios/run/run_result.h"
#include "scenarios/step/play_step.h"
#include "scenarios/step/step_graph.h"
#include "scenarios/step/step_memory.h"

namespace lightcone::scenarios {

// Where the time of a stage goes; the parts sum to the step.
struct StageTime {
  Seconds compute;   // kernels, as long as they take alone
  Seconds slowed;    // what they take longer because collectives run beside them
  Seconds layer;     // no kernel, while a collective of tensor, context or expert ranks runs
  Seconds data;      // no kernel, while one of the data ranks runs
  Seconds pipeline;  // no kernel, while a message from or to this stage is under way
  Seconds bubble;    // nothing to do
  [[nodiscard]] Seconds total() const { return compute + slowed + layer + data + pipeline + bubble; }
};

StageTime stage_time(const StepGraph& graph, const PlayedStep& played, std::uint32_t device);

struct StageRow {
  StageTime time;
  std::uint64_t parameters = 0;     // of one rank
  std::vector<MemoryOwner> memory;  // of one rank, when most is in use
  std::vector<MemorySample> saved;  // activations over time, of one rank
  [[nodiscard]] Bytes memory_used() const;
};

struct StepResult {
  std::string scenario, model, machine, gpu, plan;
  std::uint64_t gpus = 1;
  std::uint64_t tokens = 0;  // of the step, all data ranks
  Seconds time;
  std::vector<StageRow> stages;
  Bytes memory_capacity;
  FlopsPerSecond peak;   // of one GPU, at the boost clock, in the format of the products
  Flops model_flops;     // of one GPU and step, mean over the stages: three times the forward pass
  Flops hardware_flops;  // with what is computed again
  double model_flops_utilisation = 0, hardware_flops_utilisation = 0;  // of the peak in each operator's own format
  Joules energy;                                                       // of all GPUs and links
  Provenance provenance;
  StepGraph graph;  // what was played
  PlayedStep played;

  [[nodiscard]] double tokens_per_second() const { return static_cast<double>(tokens) / time.count(); }
  [[nodiscard]] double tokens_per_second_per_gpu() const { return tokens_per_second() / static_cast<double>(gpus); }
  [[nodiscard]] double teraflops_per_gpu(Flops flops) const { return flops.real() * 1e-12 / time.count(); }
  // Mean over the stages.
  [[nodiscard]] StageTime mean_time() const;
};

std::string step_summary(const StepResult& result);
std::string step_json(const StepResult& result);
std::string step_stages_csv(const StepResult& result);
std::string step_memory_csv(const StepResult& result);  // activations in flight over time
std::string step_tasks_csv(const StepResult& result);
// For the Perfetto viewer: a process per stage, a track per stream.
std::string step_trace(const StepResult& result);

}  // namespace lightcone::scenarios
