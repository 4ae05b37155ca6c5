// SPDX-License-Identifier: Apache-2.0
// The predicted time of operating points: point -> operators -> kernels -> evaluation. Nothing here can see a measured
// time: points carry none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hardware/spec/gpu_spec.h"
#include "hardware/spec/machine_graph.h"
#include "scenarios/run/evaluate_kernels.h"
#include "scenarios/validate/measured_row.h"

namespace lightcone::scenarios {

// A machine of several such GPUs, for collectives.
struct PredictionFabric {
  std::string name;
  hardware::MachineGraph graph;
  std::string hash;  // of every number of the fabric
};

struct PredictionMachine {
  hardware::GpuSpec gpu;
  std::string gpu_hash;                                         // of every field that an evaluator reads
  std::vector<std::unique_ptr<PredictionFabric>> fabrics = {};  // fewest GPUs first
};

// The machine of a row's `gpu` text; nullptr when there is none.
using MachineLookup = std::function<const PredictionMachine*(const std::string& gpu)>;

enum class PredictionState : std::uint8_t {
  predicted,
  unsupported,  // no machine, no such operator, or the GPU cannot run it
  failed,       // the evaluation broke
};

struct Prediction {
  PredictionState state = PredictionState::unsupported;
  double time_us = 0;    // when predicted
  std::string bound_by;  // of the longest kernel
  std::string note;      // what the mapping chose, or why there is no prediction
};

// One prediction per point, in order. Uses all processes of the workbench; throws Interrupted.
std::vector<Prediction> predict_points(const std::vector<OperatingPoint>& points, const MachineLookup& machine,
                                       const EvaluationSettings& settings, const Workbench& bench);

}  // namespace lightcone::scenarios
