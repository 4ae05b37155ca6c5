// SPDX-License-Identifier: Apache-2.0
// What an evaluator says of one kernel: time, where each SM cycle went, counted work, energy, and where the figures
// come from. A plain value: evaluators fill it, the store keeps it, reports read it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/units.h"

namespace lightcone {

// Every cycle of every SM has exactly one reason. Busy reasons name the unit that limits; stall reasons name what the
// SM waits for; the last ones are time without a resident CTA. They sum to SMs x cycles.
enum class CycleReason : std::uint8_t {
  tensor,        // tensor core working
  sfu,           // special functions
  fp32,          // FP32 lanes or issue slots
  shared,        // shared-memory bandwidth
  l1,            // load/store unit
  wait_l2,       // waiting for data that came from L2
  wait_hbm,      // waiting for data that came from HBM
  wait_store,    // waiting for stores to drain
  wait_barrier,  // waiting for another role or CTA, or for a latency in the pipeline
  launch,        // kernel or CTA start-up and completion
  idle,          // no CTA resident: tail of the grid, or a grid smaller than the GPU
  communication  // of a pass, not of a kernel: nothing to compute before messages of other GPUs have come
};
inline constexpr std::size_t kCycleReasonCount = 12;
inline constexpr std::array<std::string_view, kCycleReasonCount> kCycleReasonNames{
    "tensor",   "sfu",        "fp32",         "shared", "l1",   "wait_l2",
    "wait_hbm", "wait_store", "wait_barrier", "launch", "idle", "communication"};

struct WorkCounters {
  Flops mma_executed;          // padding included
  Flops mma_useful;            // what the operator's formula counts
  Flops vector_flops;          // by the kernel's own count of useful operations
  std::uint64_t lane_ops = 0;  // scalar operations on the FP32 and integer lanes, useful or not
  std::uint64_t sfu_ops = 0;
  Bytes shared_bytes;  // read and written
  Bytes l2_read;       // leaving L2 slices towards SMs
  Bytes l2_written;
  Bytes l2_hit;  // of l2_read, found in L2
  Bytes hbm_read;
  Bytes hbm_written;
  std::uint64_t ctas = 0;
};

struct EnergyBreakdown {
  Joules idle, tensor, vector, shared, l2, hbm, sm;
  Joules links = {};  // between GPUs, and switches: this GPU's share
  [[nodiscard]] Joules total() const { return idle + tensor + vector + shared + l2 + hbm + sm + links; }
};

// Utilisation of one resource during one slice of the kernel, 0..1.
struct UtilisationSample {
  double start_us = 0, end_us = 0;
  double tensor = 0, fp32 = 0, sfu = 0, shared = 0, l2 = 0, hbm = 0;
};

// The time each resource alone would need at full rate; none can exceed the kernel's time.
struct ResourceBounds {
  Seconds tensor, fp32, sfu, issue, shared, l2, hbm, launch;
};

enum class Evaluator : std::uint8_t { analytical, cycle };

struct KernelResult {
  std::string program;  // TileProgram::name
  Evaluator evaluator = Evaluator::analytical;
  Seconds time;                  // launch included: start of this kernel to start of the next
  Seconds launch;                // of which launch gap, kernel start and end
  Hertz clock;                   // SM clock that the power governor allowed
  bool power_limit_held = true;  // false: the board's limit is exceeded even at the minimum clock, where `clock` is
  Cycles cycles;                 // SM cycles of the kernel body at that clock (cycle evaluator)
  ResourceBounds bounds;
  std::array<double, kCycleReasonCount> reason_cycles{};  // SM-cycles; sums to SMs x cycles
  WorkCounters work;
  EnergyBreakdown energy;
  double simulated_fraction = 1;  // of the CTA work items that were played cycle by cycle
  std::vector<UtilisationSample> timeline;

  [[nodiscard]] CycleReason top_reason() const;  // the largest reason, idle and launch included
  // The resource name that bounds the time: tensor, fp32, sfu, issue, shared, l2, hbm, or "latency" when the largest
  // bound is under half of the time.
  [[nodiscard]] std::string bound_by() const;
};

}  // namespace lightcone
