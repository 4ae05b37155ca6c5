// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/step_input.h"

#include <fmt/core.h>

#include <algorithm>

#include "models/families/model_graph.h"
#include "models/families/training_graph.h"
#include "scenarios/run/pass_input.h"
#include "sim/base/checked.h"
#include "workloads/plan_rules.h"
#include "workloads/schedule/divide_layers.h"

namespace lightcone::scenarios {
namespace {

using models::ModelSpec;

// The section of each layer in order of execution; section 0 is the embedding.
std::vector<std::uint32_t> sections_of_layers(const ModelSpec& model) {
  std::vector<std::uint32_t> sections;
  for (const std::size_t block : model.pattern) sections.push_back(static_cast<std::uint32_t>(block + 1));
  if (!sections.empty()) return sections;
  for (std::uint32_t b = 0; b < model.blocks.size(); ++b) {
    sections.insert(sections.end(), model.blocks[b].layers, b + 1);
  }
  return sections;
}

std::vector<std::vector<std::uint32_t>> parts_of(const ModelSpec& model, std::uint64_t parts) {
  const std::vector<std::uint32_t> layers = sections_of_layers(model);
  std::vector<std::vector<std::uint32_t>> all;
  auto next = layers.begin();
  for (const std::uint64_t count : workloads::divide_layers(layers.size(), parts)) {
    all.emplace_back(next, next + static_cast<std::ptrdiff_t>(count));
    next += static_cast<std::ptrdiff_t>(count);
  }
  all.front().insert(all.front().begin(), 0);
  all.back().push_back(static_cast<std::uint32_t>(model.blocks.size() + 1));
  return all;
}

// Parameters of one layer of a block: what one more of them would add.
std::uint64_t layer_parameters(ModelSpec model, std::size_t block) {
  const std::uint64_t before = models::parameter_count(model);
  model.pattern.clear();
  ++model.blocks[block].layers;
  return models::parameter_count(model) - before;
}

// Of embedding, blocks and head, per rank. A tied table stands on the first and on the last stage.
std::vector<std::uint64_t> section_parameters(const ModelSpec& share, bool stages) {
  std::vector<std::uint64_t> sections(share.blocks.size() + 2, 0);
  const std::uint64_t table = share.vocabulary * share.d_model;
  std::uint64_t rest = models::parameter_count(share);
  for (std::size_t b = 0; b < share.blocks.size(); ++b) {
    if (share.blocks[b].shared) throw ConfigError("layers that share their weights are not divided into a step yet");
    sections[b + 1] = layer_parameters(share, b);
    rest -= sections[b + 1] * share.blocks[b].layers;
  }
  if (!share.tied_embeddings) rest -= table;
  sections.front() = rest;
  sections.back() = share.tied_embeddings && !stages ? 0 : table;
  return sections;
}

void check_plan(const Scenario& scenario, const workloads::PipelineShape& pipeline) {
  std::vector<Diagnostic> found;
  const auto add = [&](const std::string& message) {
    Diagnostic fault;
    fault.message = "plan: " + message;
    found.push_back(std::move(fault));
  };
  if (scenario.plan.context > 1) add("context parallelism is not played in a training step yet");
  // Their gradients would be summed over fewer ranks than those of the other weights.
  if (scenario.plan.expert > scenario.plan.tensor && scenario.plan.data > 1)
    add("experts over data ranks are not played in a training step yet; expert must be at most tensor");
  for (const std::string& fault : workloads::faults(pipeline)) add(fault);
  const std::string layers =
      workloads::layers_fault(workloads::layers_of(scenario.model), std::uint64_t{pipeline.stages} * pipeline.chunks);
  if (!layers.empty()) add(layers);
  if (scenario.plan.gpus() > 1 && !scenario.machine.fabric)
    add("a step over several GPUs needs a machine with a fabric");
  if (!found.empty()) throw ConfigError(std::move(found));
}

class InputBuilder {
 public:
  InputBuilder(const Scenario& scenario, EvaluationSettings evaluation, const workloads::Training& training)
      : scenario_(scenario),
        plan_(scenario.plan),
        training_(training),
        share_(models::share_of(scenario.model, workloads::share_of(plan_))) {
    input_.pass = pass_base(scenario, std::move(evaluation));
  }

  StepInput build() {
    StepPlan& plan = input_.plan;
    plan.pipeline = {plan_.schedule, plan_.pipeline, plan_.chunks, static_cast<std::uint32_t>(training_.micro_batches)};
    check_plan(scenario_, plan.pipeline);
    plan.data.ranks = plan_.data;
    plan.data.zero = plan_.zero;
    plan.data.bucket_parameters = std::max<std::uint64_t>(40'000'000, 1'000'000 * std::uint64_t{plan_.data});
    plan.parts = parts_of(share_, std::uint64_t{plan_.pipeline} * plan_.chunks);
    const models::TrainingShape shape{training_.batch,         training_.sequence_tokens,
                                      training_.micro_batches, scenario_.workload.formats.weights,
                                      training_.gradients,     training_.recomputation};
    const models::TrainingGraph graph = models::build_training(share_, shape);
    add_sections(graph);
    for (const std::uint64_t parameters : section_parameters(share_, plan_.pipeline > 1)) {
      plan.sections.emplace_back();
      plan.sections.back().parameters = parameters;
    }
    add_sizes(shape);
    add_memory(graph, shape);
    return std::move(input_);
  }

 private:
  std::size_t add(std::string name, std::string section, models::Operator op, std::string phase, std::uint64_t repeat) {
    input_.pass.nodes.push_back({std::move(name), std::move(section), repeat, std::move(op), std::move(phase)});
    return input_.pass.nodes.size() - 1;
  }

  NodeRange add_nodes(const models::TrainingSection& section) {
    const std::size_t first = input_.pass.nodes.size();
    for (const models::TrainingNode& entry : section.nodes) {
      add(entry.node.name, section.name, entry.node.op, std::string(models::name(entry.phase)), section.repeat);
    }
    return {first, input_.pass.nodes.size()};
  }

  // Forward sections in order, then backward ones in reverse, then the optimiser.
  void add_sections(const models::TrainingGraph& graph) {
    const std::size_t count = share_.blocks.size() + 2;
    input_.sections.resize(count);
    for (std::size_t s = 0; s < count; ++s) input_.sections[s].forward = add_nodes(graph.sections[s]);
    for (std::size_t s = 0; s < count; ++s) {
      input_.sections[count - 1 - s].backward = add_nodes(graph.sections[count + s]);
    }
    for (const std::vector<std::uint32_t>& part : input_.plan.parts) {
      for (const std::uint32_t section : part) input_.sections[section].times += 1.0 / plan_.pipeline;
    }
  }

  // What the builder asks for: every size of optimiser, data collective and message.
  void add_sizes(const models::TrainingShape& shape) {
    StepGraph nothing;
    StepCosts asked;
    asked.optimiser = [&](std::uint64_t parameters) {
      if (input_.optimiser.find(parameters) == input_.optimiser.end()) {
        const models::AdamW step{parameters, shape.weights, shape.gradients, shape.master()};
        input_.optimiser[parameters] = add("adamw", "optimiser", step, "optimiser", 1);
      }
      return 0;
    };
    asked.data = [&](models::CollectiveKind kind, std::uint64_t parameters) {
      const std::pair key{kind, parameters};
      if (parameters > 0 && input_.data.find(key) == input_.data.end()) {
        const NumberFormat format = kind == models::CollectiveKind::all_gather ? shape.weights : shape.gradients;
        const std::uint64_t whole = (parameters + plan_.data - 1) / plan_.data * plan_.data;  // padded to equal parts
        const models::Communication op{kind, models::ParallelAxis::data, plan_.data, whole, format};
        const bool gathers = kind == models::CollectiveKind::all_gather;
        input_.data[key] = add(gathers ? "gather_weights" : "reduce_gradients", "data", op, "data", 1);
      }
      return 0;
    };
    build_step(input_.plan, asked, nothing);
    if (plan_.pipeline > 1) {
      const std::uint64_t tokens = checked_product("tokens", {shape.batch, shape.tokens});
      const std::uint64_t divided = plan_.sequence_parallel ? plan_.tensor : 1;
      const models::Communication op{models::CollectiveKind::send_receive, models::ParallelAxis::pipeline,
                                     plan_.pipeline, tokens * share_.d_model / divided, shape.weights};
      input_.send = add("send", "pipeline", op, "pipeline", 1);
    }
  }

  void add_memory(const models::TrainingGraph& graph, const models::TrainingShape& shape) {
    std::vector<SectionMemory> sections;
    const std::size_t count = input_.sections.size();
    for (std::size_t s = 0; s < count; ++s) {
      const models::TrainingSection &forward = graph.sections[s], &backward = graph.sections[2 * count - 1 - s];
      sections.push_back({forward.saved, forward.again, std::max(forward.working, backward.working)});
    }
    const ParameterFormats formats{storage(shape.weights, 1), storage(shape.gradients, 1),
                                   storage(NumberFormat::fp32, shape.master() ? 3 : 2)};
    const auto total = [](const std::vector<MemoryOwner>& owners) {
      Bytes sum;
      for (const MemoryOwner& owner : owners) sum += owner.bytes;
      return sum;
    };
    for (std::uint32_t s = 0; s < plan_.pipeline; ++s) {
      input_.memory.push_back(stage_memory(input_.plan, sections, formats, s));
      if (s == 0 || total(input_.memory.back()) > total(input_.pass.memory)) input_.pass.memory = input_.memory.back();
    }
    input_.section_memory = std::move(sections);
    check_memory(input_.pass.memory, input_.pass.gpu.hbm.capacity, input_.pass.gpu.name);
  }

  const Scenario& scenario_;
  const workloads::PlanSpec& plan_;
  const workloads::Training& training_;
  ModelSpec share_;
  StepInput input_;
};

}  // namespace

bool needs_step(const Scenario& scenario) {
  return std::holds_alternative<workloads::Training>(scenario.workload.phase) &&
         (scenario.plan.gpus() > 1 || scenario.plan.automatic);
}

StepInput make_step_input(const Scenario& scenario, EvaluationSettings evaluation) {
  return InputBuilder(scenario, std::move(evaluation), std::get<workloads::Training>(scenario.workload.phase)).build();
}

}  // namespace lightcone::scenarios
