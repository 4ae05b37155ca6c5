// SPDX-License-Identifier: Apache-2.0
// What a run says: one row per operator and per distinct kernel, the totals of the pass, what limits it, how much
// memory it takes, and how far its figures can be trusted. A plain value; write_run, summary and explain read it.
// Nothing in it depends on the host, the time of day or the order of simulation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/base/units.h"
#include "sim/observe/kernel_result.h"
#include "sim/observe/message_result.h"

namespace lightcone::scenarios {

// Error of the validated class that a prediction belongs to; percentages of the measured time.
struct ErrorEstimate {
  std::uint64_t points = 0;
  double median_absolute_percent = 0;
  double mean_absolute_percent = 0;
  bool held_out = false;  // of points that no constant was calibrated on; else in-sample
};

// A distinct kernel, or collective, of the run.
struct KernelRow {
  std::string hash;
  std::uint64_t launches = 0;  // over the whole pass
  KernelResult result;
  std::optional<MessageResult> messages = {};  // of a collective, of which `result` is the view of one GPU
  [[nodiscard]] std::string bound_by() const { return messages ? messages->bound_by : result.bound_by(); }
};

// One operator of the model graph, executed `repeat` times in the pass (once per layer of its section). Amounts and
// times are of one execution.
struct OperatorRow {
  std::string name;     // e.g. "mlp_gate_up"
  std::string section;  // e.g. "layer"
  std::string phase;    // that of the run, or "forward", "recompute", "backward", "optimiser" of a training step
  std::uint64_t repeat = 1;
  std::string kind;                  // models::kind_name
  std::string format;                // of the activations
  std::string multiply_format;       // of the matrix instructions; empty without matrix FLOPs
  std::string note;                  // what the mapping chose
  std::vector<std::size_t> kernels;  // indices into RunResult::kernels, in launch order
  Seconds time;                      // launches included
  Seconds launch;
  std::string bound_by;
  std::array<double, kCycleReasonCount> reason_seconds{};  // sums to `time`
  Flops matrix_flops;                                      // by the operator's formula
  Flops vector_flops;                                      // by the operator's formula
  Bytes bytes;                                             // compulsory: every input and output once
  Bytes hbm_bytes;                                         // moved to and from HBM by the kernels
  double peak_seconds = 0;  // matrix_flops at the peak of `multiply_format` and the boost clock
  Joules energy;
  Hertz clock;                                  // time-weighted over its kernels
  std::optional<ErrorEstimate> expected_error;  // absent: unvalidated

  [[nodiscard]] double total_seconds() const { return time.count() * static_cast<double>(repeat); }
  [[nodiscard]] double tflops_per_second() const;     // matrix and vector FLOPs of the formula / time, in 1e12/s
  [[nodiscard]] double gigabytes_per_second() const;  // compulsory bytes / time, in 1e9/s
};

// Peak matrix rate of a number format that the run uses, at the boost clock: a roof of the roofline.
struct FormatPeak {
  std::string format;
  FlopsPerSecond rate;
};

struct MemoryOwner {
  std::string name;  // "weights", "KV cache", "activations", "workspace"
  Bytes bytes;
};

// A part of the pass: time lost to one reason in one operator, over all its executions.
struct Bottleneck {
  std::string operator_name;
  std::string kind;
  CycleReason reason = CycleReason::idle;
  Seconds time;
  double share = 0;  // of the latency
};

struct Provenance {
  Evaluator evaluator = Evaluator::cycle;
  std::string simulator;                // version of the evaluators' sources
  double simulated_fraction = 1;        // time-weighted over the kernels
  std::vector<std::string> calibrated;  // GPU parameters whose source says so, and model_constants.h
  std::vector<std::string> assumed;
};

// Said wherever energy or power is shown.
inline constexpr std::string_view kEnergyCaveat = "not validated: no measured energy was compared";

struct RunResult {
  std::string scenario, model, machine, gpu, phase;  // phase: "prefill", "decode" or "training"
  std::uint64_t batch = 0;                           // sequences (of a micro batch) of each data rank
  std::uint64_t tokens = 0;  // processed (prefill, training) or produced (decode) by the pass, of all data ranks
  std::uint64_t gpus = 1;
  std::string plan;  // in words; operators, kernels and memory are those of one GPU
  std::vector<OperatorRow> operators;
  std::vector<KernelRow> kernels;

  Seconds latency;               // of one pass
  double tokens_per_second = 0;  // of all GPUs
  // Matrix FLOPs of the model at their peak / latency, 0..1. Of a training step: three times those of the forward pass
  // (each product has two gradients), attention by its unmasked pairs; nothing that is computed again counts.
  double model_flops_utilisation = 0;
  double hardware_flops_utilisation = 0;  // of all matrix FLOPs by the operators' formulas; differs in training only
  double hbm_utilisation = 0;             // HBM bytes moved / (peak bandwidth x latency), 0..1
  Joules energy;                          // of all GPUs and what joins them
  double joules_per_token = 0;
  Watts mean_power;
  Hertz mean_clock, boost_clock;
  std::vector<FormatPeak> peaks;  // of the formats in which matrices are multiplied, by name
  BytesPerSecond hbm_peak;
  std::vector<MemoryOwner> memory;  // largest first
  Bytes memory_capacity;
  std::vector<Bottleneck> bottlenecks;          // largest first, at most three
  double validated_share = 0;                   // of the latency that lies in validated classes
  std::optional<ErrorEstimate> expected_error;  // time-weighted over them; absent: unvalidated
  Provenance provenance;

  [[nodiscard]] Bytes memory_used() const;
  [[nodiscard]] double tokens_per_second_per_gpu() const { return tokens_per_second / static_cast<double>(gpus); }
  [[nodiscard]] Seconds exposed_communication() const;  // time in which the GPU waits for messages
  // Time of each phase, in order of first appearance.
  [[nodiscard]] std::vector<std::pair<std::string, Seconds>> phase_times() const;
  // Share of the latency in kernels that draw more than the board's limit even at the minimum clock.
  [[nodiscard]] double over_power_limit_share() const;
};

}  // namespace lightcone::scenarios
