// SPDX-License-Identifier: Apache-2.0
// One pass of a model (a prefill, a decode step, a training step) as one GPU of a plan runs it: operators -> kernels
// and messages -> evaluation -> totals. Operators run one after another on one stream; kernels and collectives of one
// stream do not overlap. All GPUs have equal shares, so that one stands for all.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/run/evaluate_kernels.h"
#include "scenarios/run/run_result.h"
#include "scenarios/run/validation_table.h"
#include "workloads/plan_spec.h"

namespace lightcone::scenarios {

// An operator of the model graph, in execution order.
struct OperatorNode {
  std::string name;
  std::string section;
  std::uint64_t repeat = 1;  // executions in the pass: the layers that share this section
  models::Operator op;
  std::string phase = {};  // of a training step: "forward", "recompute", "backward", "optimiser"; else empty
};

// A collective among the given GPUs of the machine as messages: the choice of the communication library.
using CollectiveMapping =
    std::function<hardware::MessageProgram(const models::Communication&, const std::vector<std::uint32_t>& gpus,
                                           const hardware::MachineGraph&, const hardware::GpuSpec&)>;

struct PassInput {
  std::string scenario, model, machine, phase;
  std::uint64_t batch = 1;
  std::uint64_t tokens = 1;
  std::vector<OperatorNode> nodes;
  std::vector<MemoryOwner> memory;  // weights, KV cache, activations; the workspace of the kernels is added here
  hardware::GpuSpec gpu;
  std::string gpu_hash;
  workloads::PlanSpec plan;
  std::shared_ptr<const hardware::MachineGraph> fabric;  // null: one GPU
  std::string fabric_hash;
  CollectiveMapping map_collective;
  MappingOptions mapping;
  EvaluationSettings evaluation;
};

struct MappedOperator {
  OperatorNode node;
  KernelSequence sequence;
  // Of a collective, which has no kernels, or of ring attention: those of a round stand in `sequence`.
  std::optional<hardware::MessageProgram> messages = {};
  Watts computing{0};  // of a ring: what its kernels draw above idle while they run
  [[nodiscard]] std::size_t steps() const { return messages ? 1 : sequence.kernels.size(); }
};

// Throws ConfigError naming the operator when one cannot run on this GPU.
std::vector<MappedOperator> map_nodes(const PassInput& input);

// All kernels of the operators, in order, and all collectives: the lists that are evaluated.
std::vector<hardware::TileProgram> kernels_of(const std::vector<MappedOperator>& mapped);
std::vector<hardware::MessageProgram> messages_of(const std::vector<MappedOperator>& mapped);

// ConfigError when the owners need more than the GPU has: the three biggest with their sizes, and the bytes over.
void check_memory(const std::vector<MemoryOwner>& owners, Bytes capacity, const std::string& gpu);

// Bytes as people read them: "12.3 GiB", "512 B".
std::string readable(Bytes bytes);

// Everything of RunResult from evaluated kernels; a pure function. `kernels`: the steps of all
// operators in order, kernels and collectives. Throws RunError naming every operator whose kernel has no result.
RunResult summarise_pass(const PassInput& input, const std::vector<MappedOperator>& mapped,
                         const std::vector<EvaluatedKernel>& kernels, const ValidationTable& validation);

// Evaluates and summarises what map_nodes gave.
RunResult evaluate_mapped(const PassInput& input, const std::vector<MappedOperator>& mapped,
                          const ValidationTable& validation, const Workbench& bench);

// The whole way: map, check memory, evaluate, summarise.
RunResult run_pass(const PassInput& input, const ValidationTable& validation, const Workbench& bench);

}  // namespace lightcone::scenarios
