// SPDX-License-Identifier: Apache-2.0
#include "workloads/plan_rules.h"

#include <fmt/core.h>

#include <array>
#include <utility>

#include "workloads/schedule/divide_layers.h"

namespace lightcone::workloads {

namespace {

using models::nearest_divisors;

class Rules {
 public:
  explicit Rules(std::vector<PlanFault>& faults) : faults_(faults) {}
  void add(const char* field, std::string message) { faults_.push_back({field, std::move(message)}); }
  // `ranks` must divide `size`.
  void divides(const char* field, std::uint64_t ranks, std::uint64_t size, const std::string& what) {
    if (size % ranks == 0) return;
    add(field, fmt::format("{} does not divide {} {}; nearest: {}", ranks, size, what, nearest_divisors(size, ranks)));
  }

 private:
  std::vector<PlanFault>& faults_;
};

void check_numbers(const PlanSpec& plan, Rules& rules) {
  if (plan.sequence_parallel && plan.tensor == 1)
    rules.add("sequence_parallel", "needs tensor above 1: it divides tokens over the tensor ranks");
  if (plan.zero > 3) rules.add("zero", fmt::format("is 0, 1, 2 or 3, not {}", plan.zero));
  if (plan.zero > 0 && plan.data == 1) rules.add("zero", "needs data above 1: it divides states over the data ranks");
  if (plan.chunks > 1 && plan.schedule != PipelineSchedule::interleaved)
    rules.add("chunks", "above 1 belong to the schedule interleaved");
  if (plan.schedule == PipelineSchedule::interleaved && (plan.pipeline == 1 || plan.chunks == 1))
    rules.add("schedule", "interleaved needs pipeline and chunks above 1; one_f_one_b otherwise");
  const std::uint64_t over = std::uint64_t{plan.tensor} * plan.context * plan.data;
  rules.divides("expert", plan.expert, over, "ranks of tensor, context and data, over which experts lie");
}

void check_gpus(const PlanSpec& plan, std::uint64_t gpu_count, Rules& rules) {
  if (plan.gpus() == gpu_count) return;
  const std::uint64_t others = plan.gpus() / plan.data;
  const std::string product =
      fmt::format("tensor {} x context {} x data {} x pipeline {} is {} GPUs, the machine has {}", plan.tensor,
                  plan.context, plan.data, plan.pipeline, plan.gpus(), gpu_count);
  if (gpu_count % others == 0) {
    rules.add("data", fmt::format("{}; data {} would use them all", product, gpu_count / others));
  } else {
    rules.add("", fmt::format("{}; the product must be that number", product));
  }
}

void check_pipeline(const PlanSpec& plan, const models::ModelSpec& model, const WorkloadSpec& workload, Rules& rules) {
  if (plan.pipeline == 1) return;
  const bool training = std::holds_alternative<Training>(workload.phase);
  if (!training) {
    rules.add("pipeline", fmt::format("is a division of training steps; 1 for {}", phase_name(workload)));
    return;
  }
  const std::uint64_t stages = std::uint64_t{plan.pipeline} * plan.chunks;
  if (!layers_fault(layers_of(model), stages).empty())
    rules.divides(plan.chunks > 1 ? "chunks" : "pipeline", stages, layers_of(model),
                  plan.chunks > 1 ? "layers (pipeline x chunks)" : "layers");
  if (plan.schedule == PipelineSchedule::interleaved && micro_batches(workload) % plan.pipeline != 0)
    rules.add("pipeline", fmt::format("{} does not divide {} micro batches, which the interleaved schedule needs",
                                      plan.pipeline, micro_batches(workload)));
}

// Zigzag blocks, which gathering takes too, are two per rank.
void check_context(const PlanSpec& plan, const WorkloadSpec& workload, Rules& rules) {
  if (plan.context == 1) return;
  if (std::holds_alternative<Decode>(workload.phase)) {
    rules.add("context", "divides the tokens of a prompt or of a training sequence; a decode step has one: 1");
    return;
  }
  const bool two = plan.context_scheme == ContextScheme::zigzag || plan.context_scheme == ContextScheme::gather;
  const std::uint64_t parts = plan.context * (two ? 2ull : 1ull);
  rules.divides("context", parts, new_tokens(workload),
                parts == plan.context ? "tokens of a sequence" : "tokens of a sequence (two blocks per rank)");
}

void check_phase(const PlanSpec& plan, const WorkloadSpec& workload, Rules& rules) {
  if (plan.zero > 0 && !std::holds_alternative<Training>(workload.phase))
    rules.add("zero", fmt::format("divides the states of training; 0 for {}", phase_name(workload)));
  if (!plan.sequence_parallel || plan.tensor == 1) return;
  const std::uint64_t tokens = batch(workload) * (new_tokens(workload) / plan.context);
  rules.divides("sequence_parallel", plan.tensor, tokens, "tokens of a pass");
}

}  // namespace

std::vector<PlanFault> plan_faults(const PlanSpec& plan) {
  std::vector<PlanFault> faults;
  Rules rules(faults);
  check_numbers(plan, rules);
  return faults;
}

std::vector<PlanFault> plan_faults(const PlanSpec& plan, const models::ModelSpec& model, const WorkloadSpec& workload,
                                   std::uint64_t gpu_count) {
  std::vector<PlanFault> faults = plan_faults(plan);
  Rules rules(faults);
  check_gpus(plan, gpu_count, rules);
  models::Share share = share_of(plan);
  share.sequence_parallel = share.sequence_parallel && plan.tensor > 1;  // else said twice
  for (std::string& text : models::share_faults(model, share)) rules.add("", std::move(text));
  check_pipeline(plan, model, workload, rules);
  check_context(plan, workload, rules);
  check_phase(plan, workload, rules);
  return faults;
}

models::Share share_of(const PlanSpec& plan) {
  return {plan.tensor, plan.sequence_parallel, plan.expert, plan.context,
          plan.context_scheme == ContextScheme::ulysses};
}

std::string words(const PlanSpec& plan) {
  constexpr std::array<const char*, 4> kSchedules{"GPipe", "1F1B", "interleaved", "zero bubble"};
  constexpr std::array<const char*, 5> kSchemes{"ring", "zigzag", "striped", "Ulysses", "gathered"};
  std::string out;
  const auto say = [&](const char* what, std::uint32_t ranks, const std::string& how) {
    if (ranks > 1) out += fmt::format("{}{} {}{}", out.empty() ? "" : " x ", what, ranks, how);
  };
  say("tensor", plan.tensor, plan.sequence_parallel ? " (sequence parallel)" : "");
  say("context", plan.context, fmt::format(" ({})", kSchemes.at(static_cast<std::size_t>(plan.context_scheme))));
  say("data", plan.data, plan.zero > 0 ? fmt::format(" (ZeRO {})", plan.zero) : "");
  say("pipeline", plan.pipeline, fmt::format(" ({})", kSchedules.at(static_cast<std::size_t>(plan.schedule))));
  if (plan.expert > 1) out += fmt::format("{}experts over {}", out.empty() ? "" : ", ", plan.expert);
  return out.empty() ? "one GPU" : out;
}

std::uint64_t layers_of(const models::ModelSpec& model) {
  std::uint64_t layers = 0;
  for (const models::Block& block : model.blocks) layers += block.layers;
  return layers;
}

}  // namespace lightcone::workloads
