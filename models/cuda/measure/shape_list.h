// SPDX-License-Identifier: Apache-2.0
// What `lightcone-gpu measure` times: operations by the names and parameters of measured tables, the primitive that
// does each, and how long it may take. Knows no CUDA.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/measure/table.h"

namespace lightcone::models::cuda {

struct TimedShape {
  std::string op, dtype;
  std::vector<Param> params;
  std::string primitive;              // of kernels/primitives.h
  Sizes sizes;                        // of its call
  std::vector<std::string> variants;  // libraries and other kernels for the same work
  double flops = 0, bytes = 0;        // of one call, in and out
  bool quick = false;                 // part of a quick run
  double serial_us = 0;               // a cautious guess of what runs token after token
};

// In the order of the run: every op starts with its quick shapes. `ops` empty: all. Throws ConfigError for a name that
// is no op.
std::vector<TimedShape> timed_shapes(bool quick, const std::vector<std::string>& ops);

// Their names, without the microbenchmarks'.
std::vector<std::string> timed_ops();

// How a shape is timed: `launches` calls in one graph, replayed `replays` times after two for warming up; the median.
struct TimingPlan {
  int launches = 1, replays = 5;
};
// From the time of one call: `quick` spends about 40 ms, a full run 150 ms on a kernel, but never fewer than 5 replays.
TimingPlan plan_for(double call_us, bool quick);

// A cautious guess of one call, in microseconds: a tenth of an A100's rates.
double guessed_us(const TimedShape& shape);

// Seconds that a run takes by the guesses: every kernel of every shape, with its set-up. Microbenchmarks not included.
double guessed_seconds(const std::vector<TimedShape>& shapes, bool quick);

// Copies of the operands through which consecutive calls rotate, so that none finds its operands in an L2 of this size.
int rotating_copies(double bytes_of_call, double l2_bytes, double memory_bytes);

constexpr double kQuickSeconds = 240, kFullSeconds = 1200;  // budgets, of which microbenchmarks get a quarter
constexpr double kMicrobenchmarkShare = 0.25;

}  // namespace lightcone::models::cuda
