// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/static_batch.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "hardware/spec/load.h"
#include "models/load.h"
#include "scenarios/run/pass_input.h"

namespace lightcone::scenarios {
namespace {

constexpr std::uint64_t kLengths = 5;  // of the context, at which steps are priced

RunResult run(const StaticBatch& batch, workloads::Phase phase, const EvaluationSettings& settings,
              const Workbench& bench) {
  Scenario scenario = batch.scenario;
  scenario.workload.phase = std::move(phase);
  PassInput input = make_pass_input(scenario, settings);
  input.mapping.library = batch.library;
  return run_pass(input, ValidationTable(), bench);
}

// Of `steps` steps from `first` to `last` tokens of context: the trapezoid rule over the lengths that are priced.
void add_decode(const StaticBatch& batch, const EvaluationSettings& settings, const Workbench& bench,
                StaticBatchTime& sum) {
  const std::uint64_t steps = batch.generated_tokens - 1;
  if (steps == 0) return;
  const std::uint64_t first = batch.prompt_tokens + 1, last = batch.prompt_tokens + steps;
  const std::uint64_t parts = std::min(kLengths - 1, std::max<std::uint64_t>(1, last - first));
  Seconds decode, communication;  // means over the steps
  for (std::uint64_t i = 0; i <= parts; ++i) {
    const std::uint64_t context = std::max<std::uint64_t>(2, first + (last - first) * i / parts);
    const RunResult step = run(batch, workloads::Decode{batch.batch, context}, settings, bench);
    const double weight = (i == 0 || i == parts ? 0.5 : 1.0) / static_cast<double>(parts);
    decode += step.latency * weight;
    communication += step.exposed_communication() * weight;
  }
  sum.decode = decode * static_cast<double>(steps);
  sum.communication += communication * static_cast<double>(steps);
}

struct Named {
  std::string_view measured;
  const char* model;
};
constexpr std::array<Named, 2> kModels{{{"LLaMA-7B", "llama2_7b"}, {"LLaMA-70B", "llama2_70b"}}};

struct Machine {
  std::string_view measured;
  const char *one, *eight;
};
constexpr std::array<Machine, 2> kMachines{
    {{"H100-SXM-80GB", "h100_sxm", "dgx_h100"}, {"A100-SXM-80GB", "a100_sxm_80gb", "dgx_a100"}}};

template <class List>
const auto& named(const List& list, const std::string& name, const char* what) {
  for (const auto& entry : list) {
    if (entry.measured == name) return entry;
  }
  throw ConfigError(fmt::format("no {} is known for \"{}\"", what, name));
}

std::uint64_t size(const OperatingPoint& point, const char* name) {
  const auto value = point.size(name);
  if (!value || *value == 0) throw ConfigError(fmt::format("the size {} is missing", name));
  return *value;
}

}  // namespace

StaticBatchTime time_static_batch(const StaticBatch& batch, const EvaluationSettings& settings,
                                  const Workbench& bench) {
  StaticBatchTime sum;
  const RunResult prefill = run(batch, workloads::Prefill{batch.batch, batch.prompt_tokens}, settings, bench);
  sum.gpus = prefill.gpus;
  sum.prefill = prefill.latency;
  sum.communication = prefill.exposed_communication();
  add_decode(batch, settings, bench, sum);
  return sum;
}

StaticBatch static_batch_of(const OperatingPoint& point) {
  if (point.op != "e2e_throughput" || point.source.rfind("trtllm-static", 0) != 0)
    throw ConfigError("the row is not that of a static batch");
  StaticBatch out;
  out.library = KernelLibrary::tensorrt_llm;
  out.batch = size(point, "batch");
  out.prompt_tokens = size(point, "isl");
  out.generated_tokens = size(point, "osl");
  const std::uint64_t ranks = size(point, "tp");
  out.scenario.model = models::load_model(named(kModels, point.text("model"), "model").model);
  const Machine& machine = named(kMachines, point.gpu, "machine");
  out.scenario.machine = hardware::load_machine(ranks == 1 ? machine.one : machine.eight);
  out.scenario.plan.tensor = static_cast<std::uint32_t>(ranks);
  out.scenario.plan.data = out.scenario.machine.gpu_count / out.scenario.plan.tensor;
  const NumberFormat format = point.dtype == "fp8" ? NumberFormat::fp8_e4m3 : NumberFormat::fp16;
  out.scenario.workload.formats = {format, format, format};
  out.scenario.workload.launch = workloads::LaunchMode::stream;
  return out;
}

}  // namespace lightcone::scenarios
