// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/run_step.h"

#include <algorithm>

#include "scenarios/step/step_operators.h"
#include "workloads/plan_rules.h"

namespace lightcone::scenarios {
namespace {

std::vector<StepOperator> slice(const std::vector<StepOperator>& all, const NodeRange& range) {
  return {all.begin() + static_cast<std::ptrdiff_t>(range.first),
          all.begin() + static_cast<std::ptrdiff_t>(range.last)};
}

// A work of one operator; nothing to do where there is none.
std::uint32_t work_of(StepGraph& graph, const StepOperator* op) {
  graph.works.emplace_back();
  if (op != nullptr) {
    graph.names.push_back(op->name);
    graph.works.back().phases.push_back(
        {op->time, op->demand, static_cast<std::uint32_t>(graph.names.size() - 1), op->energy});
  }
  return static_cast<std::uint32_t>(graph.works.size() - 1);
}

StepGraph build(const StepInput& input, const std::vector<StepOperator>& operators) {
  StepGraph graph;
  StepPlan plan = input.plan;
  const bool split = plan.pipeline.splits_backward();
  for (std::size_t s = 0; s < plan.sections.size(); ++s) {
    const std::vector<StepOperator> backward = slice(operators, input.sections[s].backward);
    plan.sections[s].forward = plan_layer(slice(operators, input.sections[s].forward), graph);
    plan.sections[s].backward = plan_layer(split ? without_weight_gradients(backward) : backward, graph);
    if (split) plan.sections[s].weight_gradient = plan_layer(weight_gradients(backward), graph);
  }
  StepCosts costs;
  std::map<std::pair<models::CollectiveKind, std::uint64_t>, std::uint32_t> data;
  costs.data = [&](models::CollectiveKind kind, std::uint64_t parameters) {
    const std::pair key{kind, parameters};
    if (data.find(key) == data.end()) {
      data[key] = work_of(graph, parameters > 0 ? &operators[input.data.at(key)] : nullptr);
    }
    return data[key];
  };
  costs.optimiser = [&](std::uint64_t parameters) {
    return work_of(graph, &operators[input.optimiser.at(parameters)]);
  };
  costs.send = work_of(graph, input.send ? &operators[*input.send] : nullptr);
  build_step(plan, costs, graph);
  return graph;
}

// Matrix work of one rank in a step, mean over the stages.
void add_flops(StepResult& result, const StepInput& input, const RunResult& rows) {
  double model = 0, hardware = 0, model_peak = 0, hardware_peak = 0;
  for (const SectionNodes& section : input.sections) {
    const double times = section.times * input.plan.pipeline.micro_batches;
    const auto add = [&](const NodeRange& range, bool forward) {
      for (std::size_t i = range.first; i < range.last; ++i) {
        const OperatorRow& row = rows.operators[i];
        if (forward) model += 3 * times * row.matrix_flops.real();
        if (forward) model_peak += 3 * times * row.peak_seconds;
        hardware += times * row.matrix_flops.real();
        hardware_peak += times * row.peak_seconds;
      }
    };
    add(section.forward, true);
    add(section.backward, false);
  }
  result.model_flops = Flops(static_cast<std::uint64_t>(model));
  result.hardware_flops = Flops(static_cast<std::uint64_t>(hardware));
  result.model_flops_utilisation = model_peak / result.time.count();
  result.hardware_flops_utilisation = hardware_peak / result.time.count();
  for (const FormatPeak& peak : rows.peaks) result.peak = std::max(result.peak, peak.rate);
}

// Kernels and links as they work, every rank alike; idle power for the rest of the time.
Joules energy_of(const StepResult& result, const hardware::GpuSpec& gpu) {
  double stage_sum = 0;
  for (const StepTask& task : result.graph.tasks) stage_sum += result.graph.works[task.work].energy().count();
  for (const StageRow& stage : result.stages) {
    stage_sum += energy(gpu.power.idle, stage.time.slowed + stage.time.pipeline + stage.time.bubble).count();
  }
  return Joules(stage_sum * static_cast<double>(result.gpus) / static_cast<double>(result.stages.size()));
}

}  // namespace

StepResult run_step(const StepInput& input, const ValidationTable& validation, const Workbench& bench) {
  const std::vector<MappedOperator> mapped = map_nodes(input.pass);
  const RunResult rows = evaluate_mapped(input.pass, mapped, validation, bench);
  StepResult result;
  result.scenario = input.pass.scenario;
  result.model = input.pass.model;
  result.machine = input.pass.machine;
  result.gpu = input.pass.gpu.name;
  result.plan = workloads::words(input.pass.plan);
  result.gpus = input.pass.plan.gpus();
  result.tokens = input.pass.tokens;
  result.memory_capacity = input.pass.gpu.hbm.capacity;
  result.provenance = rows.provenance;
  result.graph = build(input, step_operators(input.pass, mapped, rows));
  result.played = play(result.graph);
  result.time = result.played.time;
  for (std::uint32_t s = 0; s < input.plan.pipeline.stages; ++s) {
    std::vector<Bytes> saved;
    for (std::uint32_t c = 0; c < input.plan.pipeline.chunks; ++c) {
      saved.push_back(saved_in_part(input.plan, input.section_memory, s, c));
    }
    result.stages.push_back({stage_time(result.graph, result.played, s), stage_parameters(input.plan, s),
                             input.memory[s], saved_over_time(result.graph, result.played, saved, s)});
  }
  add_flops(result, input, rows);
  result.energy = energy_of(result, input.pass.gpu);
  return result;
}

}  // namespace lightcone::scenarios
