// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/step_result.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "scenarios/run/run_pass.h"
#include "sim/observe/trace/trace.h"

namespace lightcone::scenarios {
namespace {

struct TimePart {
  const char* name;
  Seconds StageTime::*member;
};
constexpr std::array<TimePart, 6> kParts{{{"compute", &StageTime::compute},
                                          {"slowed by collectives", &StageTime::slowed},
                                          {"exposed layer collectives", &StageTime::layer},
                                          {"exposed data collectives", &StageTime::data},
                                          {"exposed pipeline messages", &StageTime::pipeline},
                                          {"bubble", &StageTime::bubble}}};

std::string line(const char* label, const std::string& text) { return fmt::format("  {:<16}{}\n", label, text); }

const StageRow& fullest(const StepResult& result) {
  return *std::max_element(result.stages.begin(), result.stages.end(),
                           [](const StageRow& a, const StageRow& b) { return a.memory_used() < b.memory_used(); });
}

std::string owners_text(const StageRow& stage) {
  std::string text;
  for (const MemoryOwner& owner : stage.memory) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", owner.name, readable(owner.bytes));
  }
  return text;
}

}  // namespace

Bytes StageRow::memory_used() const {
  Bytes sum;
  for (const MemoryOwner& owner : memory) sum += owner.bytes;
  return sum;
}

StageTime StepResult::mean_time() const {
  StageTime mean;
  for (const StageRow& stage : stages) {
    for (const TimePart& part : kParts)
      mean.*part.member += stage.time.*part.member / static_cast<double>(stages.size());
  }
  return mean;
}

std::string step_summary(const StepResult& result) {
  std::string out = fmt::format("{}: training step of {} on {} GPUs of {}\n", result.scenario, result.model,
                                result.gpus, result.machine);
  out += line("plan", result.plan);
  out += line("throughput", fmt::format("{:.1f} tokens/s, {:.1f} tokens/s per GPU", result.tokens_per_second(),
                                        result.tokens_per_second_per_gpu()));
  out += line("step", fmt::format("{:.3f} s for {} tokens", result.time.count(), result.tokens));
  out += line("MFU",
              fmt::format("{:.1f} % ({:.1f} TFLOP/s per GPU); {:.1f} % ({:.1f} TFLOP/s) with what is computed "
                          "again",
                          100 * result.model_flops_utilisation, result.teraflops_per_gpu(result.model_flops),
                          100 * result.hardware_flops_utilisation, result.teraflops_per_gpu(result.hardware_flops)));
  const StageTime mean = result.mean_time();
  for (const TimePart& part : kParts) {
    out += line(&part == &kParts.front() ? "time" : "",
                fmt::format("{:5.1f} % {}", 100 * (mean.*part.member / result.time), part.name));
  }
  const StageRow& stage = fullest(result);
  out += line("memory", fmt::format("{} of {} on the fullest stage ({})", readable(stage.memory_used()),
                                    readable(result.memory_capacity), owners_text(stage)));
  out += line("energy", fmt::format("{:.3g} J, {:.3g} J/token ({})", result.energy.count(),
                                    result.energy.count() / static_cast<double>(result.tokens), kEnergyCaveat));
  out += line("expected error", "unvalidated: no measured steps of this machine were compared");
  return out;
}

std::string step_json(const StepResult& result) {
  nlohmann::ordered_json json{{"scenario", result.scenario},
                              {"model", result.model},
                              {"machine", result.machine},
                              {"gpu", result.gpu},
                              {"plan", result.plan},
                              {"gpus", result.gpus},
                              {"tokens", result.tokens},
                              {"step_s", result.time.count()},
                              {"tokens_per_second", result.tokens_per_second()},
                              {"tokens_per_second_per_gpu", result.tokens_per_second_per_gpu()},
                              {"model_flops_utilisation", result.model_flops_utilisation},
                              {"hardware_flops_utilisation", result.hardware_flops_utilisation},
                              {"model_teraflops_per_gpu", result.teraflops_per_gpu(result.model_flops)},
                              {"hardware_teraflops_per_gpu", result.teraflops_per_gpu(result.hardware_flops)},
                              {"energy_j", result.energy.count()},
                              {"memory_capacity_bytes", result.memory_capacity.count()},
                              {"evaluator", result.provenance.evaluator == Evaluator::cycle ? "cycle" : "analytical"}};
  for (const StageRow& stage : result.stages) {
    nlohmann::ordered_json row{{"parameters", stage.parameters}};
    for (const TimePart& part : kParts) row["time_s"][part.name] = (stage.time.*part.member).count();
    for (const MemoryOwner& owner : stage.memory) row["memory_bytes"][owner.name] = owner.bytes.count();
    json["stages"].push_back(row);
  }
  return json.dump(2) + "\n";
}

std::string step_stages_csv(const StepResult& result) {
  std::string out = "stage,parameters,memory_bytes,compute_s,slowed_s,layer_s,data_s,pipeline_s,bubble_s\n";
  for (std::size_t s = 0; s < result.stages.size(); ++s) {
    const StageRow& stage = result.stages[s];
    out += fmt::format("{},{},{}", s, stage.parameters, stage.memory_used().count());
    for (const TimePart& part : kParts) out += fmt::format(",{:.9g}", (stage.time.*part.member).count());
    out += "\n";
  }
  return out;
}

std::string step_memory_csv(const StepResult& result) {
  std::string out = "stage,time_us,activation_bytes\n";
  for (std::size_t s = 0; s < result.stages.size(); ++s) {
    for (const MemorySample& sample : result.stages[s].saved) {
      out += fmt::format("{},{:.3f},{}\n", s, sample.at.count() * 1e6, sample.bytes.count());
    }
  }
  return out;
}

std::string step_tasks_csv(const StepResult& result) {
  std::string out = "stage,stream,kind,chunk,micro_batch,start_us,end_us,alone_us\n";
  for (std::size_t t = 0; t < result.graph.tasks.size(); ++t) {
    const StepTask& task = result.graph.tasks[t];
    const TaskSpan& span = result.played.tasks[t];
    out += fmt::format("{},{},{},{},{},{:.3f},{:.3f},{:.3f}\n", task.device, name(task.stream), name(task.kind),
                       task.chunk, task.micro_batch, span.start.count() * 1e6, span.end.count() * 1e6,
                       result.graph.works[task.work].time().count() * 1e6);
  }
  return out;
}

std::string step_trace(const StepResult& result) {
  Trace trace;
  std::vector<std::array<Trace::Track, kStreamCount>> tracks;
  for (std::uint32_t d = 0; d < result.graph.devices; ++d) {
    const Trace::Track stage = trace.add_process(fmt::format("stage {}", d));
    tracks.emplace_back();
    for (std::size_t s = 0; s < kStreamCount; ++s) {
      tracks.back()[s] = trace.add_track(stage, std::string(name(static_cast<Stream>(s))));
    }
  }
  for (std::size_t t = 0; t < result.graph.tasks.size(); ++t) {
    const StepTask& task = result.graph.tasks[t];
    const StepWork& work = result.graph.works[task.work];
    if (work.phases.empty()) continue;
    const std::string first = result.graph.names[work.phases.front().name];
    trace.add_slice(tracks[task.device][static_cast<std::size_t>(task.stream)],
                    fmt::format("{} {}", name(task.kind), task.micro_batch), result.played.tasks[t].start,
                    result.played.tasks[t].end, {{"first operator", first}, {"chunk", std::to_string(task.chunk)}});
  }
  return trace.bytes();
}

}  // namespace lightcone::scenarios
