// SPDX-License-Identifier: Apache-2.0
// Why a pass takes as long as it does, as a tree: pass, sections, operators; for each what its time goes into, and how
// much shorter it would be with one resource of the GPU 10 % faster. The kernels stay the ones that ran; each is
// re-evaluated in closed form on the changed GPU, and the ratio of the two closed forms scales the time of the run.
// First-order: two resources together are not the sum of both, and a library might choose other kernels.
#pragma once

#include <string>
#include <vector>

#include "scenarios/run/run_pass.h"

namespace lightcone::scenarios {

// A resource of the GPU and what 10 % more of it means.
struct ResourceChange {
  std::string name;     // "tensor cores"
  std::string meaning;  // "FLOPs per clock + 10 %"
  void (*apply)(hardware::GpuSpec&);
};
const std::vector<ResourceChange>& resource_changes();

struct Saving {
  std::string resource;
  Seconds saved;
  double share = 0;  // of the node's own time
};

struct ExplanationNode {
  std::string name;
  std::string kind;          // of an operator; empty for the pass and for sections
  std::uint64_t repeat = 1;  // executions
  Seconds time;              // over all executions
  double share = 0;          // of the latency
  std::array<double, kCycleReasonCount> reason_seconds{};
  std::vector<Saving> savings;            // largest first; below 0.05 % of the node's time left out
  std::vector<ExplanationNode> children;  // sections in order; operators, longest first
};

// `mapped` as map_nodes gives it for the input that `result` came from. Throws ConfigError when the two do not match.
ExplanationNode explain(const PassInput& input, const std::vector<MappedOperator>& mapped, const RunResult& result,
                        const KernelFunction& analytical);

// The tree in words; operators below `smallest_share` of the latency are folded into one line.
std::string explanation_text(const ExplanationNode& root, double smallest_share = 0.01);
std::string explanation_json(const ExplanationNode& root);

}  // namespace lightcone::scenarios
