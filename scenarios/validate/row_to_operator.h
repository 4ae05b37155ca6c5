// SPDX-License-Identifier: Apache-2.0
// A measured point -> the operators that it ran, the library that ran them and how it was timed. Data sets differ in
// what a "time" contains; a prediction is only comparable when it contains the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/graph/operator.h"
#include "scenarios/mapping/collectives/collective_options.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/validate/measured_row.h"
#include "workloads/plan_spec.h"

namespace lightcone::scenarios {

// What the stop-watch saw.
enum class TimingConvention : std::uint8_t {
  graph_replay,  // a captured graph replayed many times: kernel and the gap to the next one
  profiler,      // the kernel alone, by the profiler's timestamps: no gap
  stream,        // many launches back to back, host running ahead
  layer_events,  // an event before and one behind each layer of an engine, in stream order
  eager          // one framework call between two events: host-bound when the kernel is short
};

struct MappedPoint {
  std::vector<models::Operator> operators;  // run one after another
  MappingOptions options;
  TimingConvention timing = TimingConvention::graph_replay;
  std::string note;  // what differs between the row and the operators, when something does
  // Of a collective, the only operator of its row.
  std::uint32_t nodes = 1;
  CollectiveOptions collective;
  // Of ring attention: whose blocks the only operator, the attention of one rank to its own tokens, stands for.
  std::optional<workloads::ContextScheme> ring;
  std::uint32_t ranks = 1;
};

struct RowMapping {
  std::optional<MappedPoint> mapped;
  std::string reason;  // why there is none
};

// The `op` names of measured tables that are understood.
const std::vector<std::string>& supported_measured_ops();

// Never throws on a strange row: it says what is missing in `reason`.
RowMapping map_row(const OperatingPoint& point);

}  // namespace lightcone::scenarios
