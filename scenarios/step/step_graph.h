// SPDX-License-Identifier: Apache-2.0
// A training step as tasks on the streams of devices. A device stands for all ranks of one pipeline stage, which do the
// same at the same time; a task is a row of kernels, or a collective, with what it takes of the device while it runs.
// Tasks of one stream run in the order in which they were added, as on a CUDA stream; tasks of different streams run
// together and share what they need (scenarios/step/share_rates.h).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/units.h"

namespace lightcone::scenarios {

// What a framework puts on streams of their own: kernels; collectives inside a layer (tensor, context and expert
// ranks); collectives over the data ranks; messages to the stages before and behind.
enum class Stream : std::uint8_t { compute, layer, data, to_next, to_previous };
inline constexpr std::size_t kStreamCount = 5;
std::string_view name(Stream stream);

inline constexpr std::size_t kMostLinkKinds = 8;

// Shares of the device, 0..1, that a phase takes when it runs alone.
struct Demand {
  double hbm = 0;            // of the bandwidth
  double sms = 0;            // of the SMs, that a collective keeps from computation
  double sm_elasticity = 0;  // of computation: with a share a of the SMs its time is 1 + e (1/a - 1)
  std::array<double, kMostLinkKinds> links = {};  // of the bandwidth of the device's links, by kind, in one direction
};

// One kernel sequence or collective.
struct StepPhase {
  Seconds time;  // alone
  Demand demand;
  std::uint32_t name = 0;  // index into StepGraph::names
  Joules energy;           // of one rank; of links and kernels, without waiting
};

// Phases in turn.
struct StepWork {
  std::vector<StepPhase> phases;
  [[nodiscard]] Seconds time() const;
  [[nodiscard]] Joules energy() const;
};

enum class StepKind : std::uint8_t {
  forward,
  recompute,
  backward,
  weight_gradient,  // apart from its backward: zero-bubble schedules
  optimiser,
  layer_collective,
  gather_weights,
  reduce_gradients,
  send,
};
std::string_view name(StepKind kind);

struct StepTask {
  std::uint32_t device = 0;
  Stream stream = Stream::compute;
  StepKind kind = StepKind::forward;
  std::uint32_t work = 0;         // index into StepGraph::works
  std::uint32_t micro_batch = 0;  // of forward and backward
  std::uint32_t chunk = 0;
  std::uint32_t to = 0;              // of a send: the device that waits for it
  std::vector<std::uint32_t> needs;  // tasks that must have ended, besides those before it on its stream
};

struct StepGraph {
  std::uint32_t devices = 0;
  std::vector<StepTask> tasks;  // each needs earlier ones only, or later ones of other devices
  std::vector<StepWork> works;
  std::vector<std::string> names;
};

}  // namespace lightcone::scenarios
