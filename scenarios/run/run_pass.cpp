// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/run_pass.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scenarios/mapping/collectives/ring_attention.h"
#include "scenarios/run/evaluate_messages.h"
#include "workloads/plan_ranks.h"

namespace lightcone::scenarios {
namespace {

// The largest scratch space of any operator: tensors that its kernels hand to each other (split-K partial sums).
Bytes workspace_of(const std::vector<MappedOperator>& mapped) {
  Bytes largest;
  for (const MappedOperator& entry : mapped) {
    for (const hardware::TileProgram& program : entry.sequence.kernels) {
      Bytes sum;
      for (const hardware::Tensor& tensor : program.tensors) {
        if (tensor.name.find("workspace") != std::string::npos || tensor.name.find("partial") != std::string::npos) {
          sum += tensor.bytes;
        }
      }
      largest = std::max(largest, sum);
    }
  }
  return largest;
}

// Among the ranks of the collective's axis that GPU 0 belongs to: every other group does the same.
MappedOperator map_between_gpus(const OperatorNode& node, const models::Communication& op, const PassInput& input) {
  if (!input.fabric || !input.map_collective) {
    throw ConfigError(models::kind_name(node.op) + " over " + std::to_string(op.ranks) + " GPUs has no messages: " +
                      (input.fabric ? "no library of collectives" : "no fabric") + " is given");
  }
  MappedOperator out{node, {}};
  out.messages = input.map_collective(op, workloads::group_of(input.plan, op.axis), *input.fabric, input.gpu);
  out.sequence.note = out.messages->name;
  return out;
}

// Attention of a plan whose context ranks form a ring. The kernels of its rounds are priced by the closed form,
// whatever the fidelity: they are steps of one program of messages.
MappedOperator map_around_ring(const OperatorNode& node, const models::Attention& op, const PassInput& input) {
  if (!input.fabric) throw ConfigError("ring attention over several GPUs: no fabric is given");
  hardware::EvaluateOptions options = input.evaluation.options;
  options.timeline = false;
  RingAttention ring{op, input.plan.context_scheme};
  ring.block.kv_len = op.q_len;
  MappedOperator out{node, map_operator(ring.block, input.gpu, input.mapping)};
  Joules above_idle;
  Seconds busy;
  for (const hardware::TileProgram& kernel : out.sequence.kernels) {
    const KernelResult result = hardware::evaluate_analytical(kernel, input.gpu, options);
    above_idle += result.energy.total() - result.energy.idle;
    busy += result.time;
  }
  out.computing = Watts(above_idle.count() / busy.count());
  out.messages = ring_attention_program(ring, workloads::group_of(input.plan, models::ParallelAxis::context),
                                        *input.fabric, input.gpu, closed_form_time(input.gpu, input.mapping));
  out.sequence.note = out.messages->name + ", kernels of the rounds by the closed form";
  return out;
}

bool goes_round(const OperatorNode& node, const PassInput& input) {
  return input.plan.context > 1 && workloads::is_ring(input.plan.context_scheme) &&
         std::holds_alternative<models::Attention>(node.op);
}

// Steps in the order of the operators.
std::vector<EvaluatedKernel> in_order(const std::vector<MappedOperator>& mapped, std::vector<EvaluatedKernel> kernels,
                                      std::vector<EvaluatedKernel> messages) {
  std::vector<EvaluatedKernel> steps;
  std::size_t kernel = 0, message = 0;
  for (const MappedOperator& entry : mapped) {
    if (entry.messages) {
      steps.push_back(std::move(messages[message++]));
      continue;
    }
    for (std::size_t k = 0; k < entry.sequence.kernels.size(); ++k) steps.push_back(std::move(kernels[kernel++]));
  }
  return steps;
}

}  // namespace

std::vector<MappedOperator> map_nodes(const PassInput& input) {
  std::vector<MappedOperator> mapped;
  std::vector<Diagnostic> faults;
  for (const OperatorNode& node : input.nodes) {
    try {
      if (goes_round(node, input)) {
        mapped.push_back(map_around_ring(node, std::get<models::Attention>(node.op), input));
        continue;
      }
      const auto* collective = std::get_if<models::Communication>(&node.op);
      mapped.push_back(collective == nullptr ? MappedOperator{node, map_operator(node.op, input.gpu, input.mapping)}
                                             : map_between_gpus(node, *collective, input));
    } catch (const ConfigError& error) {
      Diagnostic fault;
      fault.message = fmt::format("operator {} ({}): {}", node.name, node.section, error.what());
      faults.push_back(std::move(fault));
    }
  }
  if (!faults.empty()) throw ConfigError(std::move(faults));
  return mapped;
}

std::vector<hardware::TileProgram> kernels_of(const std::vector<MappedOperator>& mapped) {
  std::vector<hardware::TileProgram> programs;
  for (const MappedOperator& entry : mapped) {
    if (entry.messages) continue;  // those of a ring's rounds are in its messages
    programs.insert(programs.end(), entry.sequence.kernels.begin(), entry.sequence.kernels.end());
  }
  return programs;
}

std::vector<hardware::MessageProgram> messages_of(const std::vector<MappedOperator>& mapped) {
  std::vector<hardware::MessageProgram> programs;
  for (const MappedOperator& entry : mapped) {
    if (entry.messages) programs.push_back(*entry.messages);
  }
  return programs;
}

RunResult evaluate_mapped(const PassInput& input, const std::vector<MappedOperator>& mapped,
                          const ValidationTable& validation, const Workbench& bench) {
  std::vector<EvaluatedKernel> kernels =
      evaluate_kernels(kernels_of(mapped), input.gpu, input.gpu_hash, input.evaluation, bench);
  const std::vector<hardware::MessageProgram> programs = messages_of(mapped);
  std::vector<EvaluatedKernel> messages;
  if (!programs.empty())
    messages = evaluate_messages(programs, *input.fabric, input.fabric_hash, input.gpu, input.evaluation, bench);
  return summarise_pass(input, mapped, in_order(mapped, std::move(kernels), std::move(messages)), validation);
}

RunResult run_pass(const PassInput& input, const ValidationTable& validation, const Workbench& bench) {
  check_memory(input.memory, input.gpu.hbm.capacity, input.gpu.name);  // before the work of mapping
  const std::vector<MappedOperator> mapped = map_nodes(input);
  PassInput with_workspace = input;
  const Bytes workspace = workspace_of(mapped);
  if (workspace.count() > 0) with_workspace.memory.push_back({"workspace", workspace});
  check_memory(with_workspace.memory, input.gpu.hbm.capacity, input.gpu.name);
  return evaluate_mapped(with_workspace, mapped, validation, bench);
}

}  // namespace lightcone::scenarios
