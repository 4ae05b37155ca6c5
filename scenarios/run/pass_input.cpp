// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/pass_input.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "hardware/spec/machine_graph.h"
#include "hardware/spec/spec_hash.h"
#include "models/families/model_graph.h"
#include "models/families/training_graph.h"
#include "models/graph/graph.h"
#include "scenarios/mapping/collectives/map_collective.h"
#include "sim/base/checked.h"
#include "workloads/plan_rules.h"

namespace lightcone::scenarios {

namespace {

models::PhaseShape shape_of(const workloads::WorkloadSpec& workload) {
  const std::uint64_t fresh = workloads::new_tokens(workload);
  return models::PhaseShape{workloads::batch(workload),
                            fresh,
                            workloads::attended_tokens(workload) - fresh,
                            workload.formats.weights,
                            workload.formats.activations,
                            workload.formats.kv};
}

models::Graph graph_of(const Scenario& scenario, const models::ModelSpec& share) {
  const models::PhaseShape shape = shape_of(scenario.workload);
  return std::holds_alternative<workloads::Prefill>(scenario.workload.phase) ? models::build_prefill(share, shape)
                                                                             : models::build_decode(share, shape);
}

// Dimensions that one pass of one rank does not have; a whole training step has them.
void check_dimensions(const workloads::PlanSpec& plan, const workloads::WorkloadSpec& workload) {
  const bool training = std::holds_alternative<workloads::Training>(workload.phase);
  if (plan.context > 1 && training)
    throw ConfigError("plan.context: context ranks of a training step are not played yet; 1");
  if (plan.pipeline > 1) throw ConfigError("plan.pipeline: pipelines are not played yet; 1");
  if (plan.data > 1 && training)
    throw ConfigError("plan.data: sums of gradients over data ranks are not played yet; 1");
}

// The residual stream, and what the largest operator reads and writes beside it. Attention reads the KV cache, which
// has its own owner.
Bytes activation_bytes(const Scenario& scenario, const models::Share& share, const models::Graph& graph) {
  const std::uint64_t all = checked_product(
      "tokens of the pass", {workloads::batch(scenario.workload), workloads::new_tokens(scenario.workload)});
  const std::uint64_t ranks = share.context * (share.sequence_parallel ? share.tensor : 1);
  const std::uint64_t tokens = ceil_div(all, ranks);
  Bytes largest;
  for (const models::Section& section : graph.sections) {
    for (std::size_t i = 0; i < section.size(); ++i) {
      const models::Operator& op = section.node(i).op;
      if (std::holds_alternative<models::Attention>(op)) continue;
      const models::Cost cost = models::cost(op);
      largest = std::max(largest, cost.read_bytes + cost.written_bytes);
    }
  }
  return storage(NumberFormat::bf16, checked_product("residual stream", {tokens, scenario.model.d_model})) + largest;
}

std::vector<MemoryOwner> memory_of(const Scenario& scenario, const models::ModelSpec& share,
                                   const models::Graph& graph) {
  const workloads::WorkloadSpec& workload = scenario.workload;
  const Bytes cache = models::kv_bytes(share, workloads::attended_tokens(workload), workload.formats.kv);
  const Bytes state = models::state_bytes(share, NumberFormat::fp32, workload.formats.activations);
  std::vector<MemoryOwner> owners{
      {"weights", models::weight_bytes(share, workload.formats.weights, workload.formats.activations)},
      {"KV cache", Bytes(checked_product("KV cache", {cache.count(), workloads::batch(workload)}))},
      {"activations", activation_bytes(scenario, share.share, graph)}};
  if (state.count() > 0) {
    owners.push_back({"state", Bytes(checked_product("state", {state.count(), workloads::batch(workload)}))});
  }
  return owners;
}

// Attention around a ring instead of a gathering of K and V and two blocks of queries: one operator with the pairs of
// both, which map_nodes turns into rounds of kernels and messages.
std::vector<models::Node> around_ring(std::vector<models::Node> nodes, std::uint32_t ranks) {
  std::vector<models::Node> out;
  bool gathered = false;
  for (models::Node& node : nodes) {
    const auto* communication = std::get_if<models::Communication>(&node.op);
    if (communication != nullptr && communication->axis == models::ParallelAxis::context) {
      gathered = true;
      continue;
    }
    auto* attention = std::get_if<models::Attention>(&node.op);
    if (attention == nullptr || !gathered) {
      out.push_back(std::move(node));
      continue;
    }
    if (!attention->causal) throw ConfigError("plan.context_scheme: a ring is played of causal attention");
    if (attention->window > 0) throw ConfigError("plan.context_scheme: a ring is played of attention without a window");
    if (attention->q_len == attention->kv_len) continue;  // the first block: its pairs are in those of the last
    attention->q_len *= 2;
    attention->kv_len = attention->q_len * (ranks + std::uint64_t{1}) / 2;
    node.name = "ring_attention";
    out.push_back(std::move(node));
    gathered = false;
  }
  return out;
}

void add_pass(PassInput& input, const Scenario& scenario, const models::ModelSpec& share) {
  const models::Graph graph = graph_of(scenario, share);
  for (const models::Section& section : graph.sections) {
    std::vector<models::Node> nodes = section.in_order();
    if (input.plan.context > 1 && workloads::is_ring(input.plan.context_scheme)) {
      nodes = around_ring(std::move(nodes), input.plan.context);
    }
    for (models::Node& node : nodes) {
      input.nodes.push_back({std::move(node.name), section.name(), section.repeat(), std::move(node.op)});
    }
  }
  input.memory = memory_of(scenario, share, graph);
}

void add_training_step(PassInput& input, const Scenario& scenario, const models::ModelSpec& share,
                       const workloads::Training& training) {
  const models::TrainingShape shape{training.batch,         training.sequence_tokens,
                                    training.micro_batches, scenario.workload.formats.weights,
                                    training.gradients,     training.recomputation};
  models::TrainingGraph graph = models::build_training(share, shape);
  for (models::TrainingSection& section : graph.sections) {
    for (models::TrainingNode& entry : section.nodes) {
      input.nodes.push_back({std::move(entry.node.name), section.name, section.repeat, std::move(entry.node.op),
                             std::string(models::name(entry.phase))});
    }
  }
  input.memory = {{"weights", graph.memory.weights},
                  {"gradients", graph.memory.gradients},
                  {"optimiser states", graph.memory.optimiser_states},
                  {"activations", graph.memory.activations},
                  {"working tensors", graph.memory.working}};
}

}  // namespace

PassInput pass_base(const Scenario& scenario, EvaluationSettings evaluation) {
  PassInput input;
  input.scenario = scenario.name;
  input.model = scenario.model.name;
  input.machine = scenario.machine.name;
  input.phase = workloads::phase_name(scenario.workload);
  input.batch = workloads::batch(scenario.workload);
  input.tokens =
      checked_product("tokens of the pass", {input.batch, workloads::new_tokens(scenario.workload),
                                             workloads::micro_batches(scenario.workload), scenario.plan.data});
  input.plan = scenario.plan;
  input.gpu = scenario.machine.gpu;
  input.gpu_hash = hardware::spec_hash(input.gpu);
  if (scenario.machine.fabric) {
    input.fabric = std::make_shared<const hardware::MachineGraph>(*scenario.machine.fabric);
    input.fabric_hash = hardware::spec_hash(*scenario.machine.fabric);
    // Serving engines that replay graphs have all-reduces of their own for small sums.
    CollectiveOptions options;
    const bool training = std::holds_alternative<workloads::Training>(scenario.workload.phase);
    if (!training && scenario.workload.launch == workloads::LaunchMode::graph)
      options.library = CollectiveLibrary::vllm;
    input.map_collective = [options](const models::Communication& op, const std::vector<std::uint32_t>& gpus,
                                     const hardware::MachineGraph& graph, const hardware::GpuSpec& gpu) {
      return map_collective(op, gpus, graph, gpu, options).program;
    };
  }
  input.mapping.launch = scenario.workload.launch == workloads::LaunchMode::graph ? hardware::LaunchMode::graph
                                                                                  : hardware::LaunchMode::stream;
  input.evaluation = std::move(evaluation);
  input.evaluation.options.launch = input.mapping.launch;
  return input;
}

PassInput make_pass_input(const Scenario& scenario, EvaluationSettings evaluation) {
  check_dimensions(scenario.plan, scenario.workload);
  const models::ModelSpec share = models::share_of(scenario.model, workloads::share_of(scenario.plan));
  PassInput input = pass_base(scenario, std::move(evaluation));
  if (const auto* training = std::get_if<workloads::Training>(&scenario.workload.phase)) {
    add_training_step(input, scenario, share, *training);
  } else {
    add_pass(input, scenario, share);
  }
  return input;
}

}  // namespace lightcone::scenarios
