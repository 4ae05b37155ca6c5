// SPDX-License-Identifier: Apache-2.0
// `describe NAME`: what a model, machine, workload or scenario is, with the figures that follow from it.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "hardware/spec/load.h"
#include "models/families/layer_kinds.h"
#include "models/families/model_graph.h"
#include "models/graph/graph.h"
#include "models/load.h"
#include "scenarios/cli/catalog_entry.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/describe_fabric.h"
#include "scenarios/cli/session.h"
#include "scenarios/load/load_scenario.h"
#include "scenarios/run/pass_input.h"
#include "sim/base/textproto_path.h"
#include "workloads/load.h"
#include "workloads/plan_rules.h"

namespace lightcone::scenarios {

namespace {

using Json = nlohmann::ordered_json;

// One figure: key and value for JSON, and the line that people read.
struct Figure {
  std::string key;
  Json value;
  std::string line;
};

struct Description {
  std::vector<Figure> figures;
  std::string text;  // printed after the figures
  void add(std::string key, Json value, std::string line) {
    figures.push_back({std::move(key), std::move(value), std::move(line)});
  }
};

// ---- Models --------------------------------------------------------------------------------------------------

void add_block(Description& d, const models::Block& block) {
  const auto in_words = [](const auto& kind) { return models::words(kind); };
  const std::string words =
      fmt::format("{} layers{}: {}; {}", block.layers, block.shared ? " with the same weights" : "",
                  std::visit(in_words, block.mixer), std::visit(in_words, block.mlp));
  d.add("block_" + block.name, words, fmt::format("block \"{}\"", block.name) + "\t" + words);
}

// Context lengths at which the work of one more token is shown.
constexpr std::uint64_t kContexts[] = {1024, 8192, 65536};

void add_token_costs(Description& d, const models::ModelSpec& model) {
  if (!models::decodes(model)) return;
  for (const std::uint64_t context : kContexts) {
    if (model.position == models::PositionKind::learned && context + 1 > model.max_positions) continue;
    models::PhaseShape shape;
    shape.context = context;
    const models::Cost cost = models::total_cost(models::build_decode(model, shape));
    d.add(fmt::format("flops_per_token_at_{}", context), cost.flops().count(),
          fmt::format("FLOPs per token\t{:.3f} GFLOP to decode after {} tokens", cost.flops().real() * 1e-9, context));
    d.add(fmt::format("bytes_per_token_at_{}", context), cost.bytes().count(),
          fmt::format("bytes per token\t{:.3f} GB to decode one sequence after {} tokens, bf16",
                      cost.bytes().real() * 1e-9, context));
  }
}

Description describe_model(const Options& options) {
  const LoadedPart part = load_part(EntryKind::model, options.inputs.front(), options.overrides);
  const models::ModelSpec model = models::to_model_spec(*part.message, part.locations);
  Description d;
  d.add("name", model.name, "model\t" + model.name);
  const std::uint64_t parameters = models::parameter_count(model);
  d.add("parameters", parameters,
        fmt::format("parameters\t{} ({:.2f} B)", parameters, static_cast<double>(parameters) * 1e-9));
  if (const std::uint64_t active = models::active_parameter_count(model); active != parameters) {
    d.add("active_parameters", active,
          fmt::format("of a token\t{} ({:.2f} B)", active, static_cast<double>(active) * 1e-9));
  }
  d.add("published_parameters", model.published_parameters,
        model.published_parameters == 0
            ? std::string("published as\tnothing: the source gives no count")
            : fmt::format("published as\t{:.4g} B", static_cast<double>(model.published_parameters) * 1e-9));
  d.add("d_model", model.d_model, fmt::format("width\t{}", model.d_model));
  d.add("vocabulary", model.vocabulary,
        fmt::format("vocabulary\t{}{}", model.vocabulary, model.tied_embeddings ? ", LM head tied" : ""));
  for (const models::Block& block : model.blocks) add_block(d, block);
  for (const NumberFormat format : {NumberFormat::bf16, NumberFormat::fp8_e4m3}) {
    const Bytes bytes = models::weight_bytes(model, format);
    d.add(fmt::format("weight_bytes_{}", name(format)), bytes.count(),
          fmt::format("weights\t{} in {}", readable(bytes), name(format)));
    const Bytes state = models::kv_bytes_per_token(model, format);
    d.add(fmt::format("kv_bytes_per_token_{}", name(format)), state.count(),
          fmt::format("KV cache\t{} per token in {}", readable(state), name(format)));
  }
  if (const Bytes state = models::state_bytes(model, NumberFormat::fp32); state.count() > 0) {
    d.add("state_bytes_fp32", state.count(), fmt::format("state\t{} per sequence in fp32", readable(state)));
  }
  add_token_costs(d, model);
  if (!model.source.empty()) d.add("source", model.source, "source\t" + model.source);
  return d;
}

// ---- Machines ------------------------------------------------------------------------------------------------

Description describe_machine(const Options& options) {
  const LoadedPart part = load_part(EntryKind::machine, options.inputs.front(), options.overrides);
  const hardware::MachineSpec machine = hardware::to_machine_spec(*part.message, part.locations);
  const hardware::GpuSpec& gpu = machine.gpu;
  Description d;
  d.add("name", machine.name, "machine\t" + machine.name);
  d.add("gpu", gpu.name,
        fmt::format("GPU\t{} ({}), {} SMs, {:.0f} MHz", gpu.name, gpu.vendor, gpu.sm_count,
                    gpu.clock.boost.count() * 1e-6));
  for (const auto& [format, rate] : gpu.sm.tensor.flops_per_clock) {
    const double peak = rate * gpu.sm_count * gpu.clock.boost.count();
    d.add(fmt::format("peak_flops_{}", name(format)), peak,
          fmt::format("tensor peak\t{:.1f} TFLOP/s in {}", peak * 1e-12, name(format)));
  }
  d.add("hbm_bytes_per_second", gpu.hbm.peak().count(),
        fmt::format("HBM\t{} {}, {:.3f} TB/s", readable(gpu.hbm.capacity), gpu.hbm.generation,
                    gpu.hbm.peak().count() * 1e-12));
  d.add("power_limit_w", gpu.power.limit.count(), fmt::format("power limit\t{:.0f} W", gpu.power.limit.count()));
  if (machine.fabric) {
    describe_fabric(*machine.fabric, [&d](std::string key, Json value, std::string line) {
      d.add(std::move(key), std::move(value), std::move(line));
    });
  }
  Json parameters = Json::array();
  d.text = "\nparameters, each with its source:\n";
  const auto list = [&](const hardware::ParameterSource& entry, const std::string& path) {
    const std::string value = get_by_path(*part.message, path);
    parameters.push_back({{"path", entry.path}, {"value", value}, {"source", entry.source}});
    d.text += fmt::format("  {:46} {:>14}  {}\n", entry.path, value, entry.source);
  };
  for (const hardware::ParameterSource& entry : gpu.sources) list(entry, "gpu." + entry.path);
  for (hardware::ParameterSource entry : machine.fabric_sources) {
    entry.path = "fabric." + entry.path;
    list(entry, entry.path);
  }
  d.add("parameters", std::move(parameters), "");
  return d;
}

// ---- Workloads and scenarios ---------------------------------------------------------------------------------

void add_workload(Description& d, const workloads::WorkloadSpec& workload) {
  d.add("phase", workloads::phase_name(workload),
        fmt::format("workload\t{}{}, batch {}, {} new and {} attended tokens per sequence",
                    workload.name.empty() ? "" : workload.name + ": ", workloads::phase_name(workload),
                    workloads::batch(workload), workloads::new_tokens(workload), workloads::attended_tokens(workload)));
  d.add("batch", workloads::batch(workload), "");
  d.add("new_tokens", workloads::new_tokens(workload), "");
  d.add("attended_tokens", workloads::attended_tokens(workload), "");
  d.add("formats",
        Json{{"weights", name(workload.formats.weights)},
             {"activations", name(workload.formats.activations)},
             {"kv", name(workload.formats.kv)}},
        fmt::format("formats\tweights {}, activations {}, KV cache {}", name(workload.formats.weights),
                    name(workload.formats.activations), name(workload.formats.kv)));
}

Description describe_workload(const Options& options) {
  const LoadedPart part = load_part(EntryKind::workload, options.inputs.front(), options.overrides);
  Description d;
  add_workload(d, workloads::to_workload_spec(*part.message, part.locations));
  return d;
}

Description describe_scenario(const Options& options) {
  const Scenario scenario = load_scenario(options.inputs.front(), options.overrides);
  Description d;
  d.add("name", scenario.name, "scenario\t" + scenario.name);
  if (!scenario.description.empty()) d.add("description", scenario.description, "\t" + scenario.description);
  d.add("model", scenario.model.name, "model\t" + scenario.model.name);
  d.add("machine", scenario.machine.name, "machine\t" + scenario.machine.name);
  add_workload(d, scenario.workload);
  const bool training = std::holds_alternative<workloads::Training>(scenario.workload.phase);
  const std::string plan = workloads::words(scenario.plan);
  if (scenario.machine.gpu_count > 1) d.add("plan", plan, "plan\t" + plan);
  for (const SweepAxis& axis : scenario.axes) {
    d.add("axis " + axis.path, axis.values, fmt::format("sweep\t{}: {} values", axis.path, axis.values.size()));
  }
  if (training && scenario.machine.gpu_count > 1) return d;  // what each stage does follows from playing the step
  const PassInput input = make_pass_input(scenario, {});
  models::Cost total;
  for (const OperatorNode& node : input.nodes) {
    const models::Cost cost = models::cost(node.op);
    total.matrix_flops += cost.matrix_flops * node.repeat;
    total.vector_flops += cost.vector_flops * node.repeat;
    total.weight_bytes += cost.weight_bytes * node.repeat;
    total.read_bytes += cost.read_bytes * node.repeat;
    total.written_bytes += cost.written_bytes * node.repeat;
  }
  d.add("flops", total.flops().count(),
        fmt::format("work\t{:.4g} TFLOP, {:.4g} GB read and written at least", total.flops().real() * 1e-12,
                    total.bytes().real() * 1e-9));
  d.add("bytes", total.bytes().count(), "");
  for (const MemoryOwner& owner : input.memory) {
    d.add(owner.name + " bytes", owner.bytes.count(), fmt::format("memory\t{} {}", readable(owner.bytes), owner.name));
  }
  return d;
}

Description describe(EntryKind kind, const Options& options) {
  switch (kind) {
    case EntryKind::model:
      return describe_model(options);
    case EntryKind::machine:
      return describe_machine(options);
    case EntryKind::workload:
      return describe_workload(options);
    case EntryKind::scenario:
      return describe_scenario(options);
  }
  return {};
}

}  // namespace

int describe_command(const Options& options) {
  const EntryKind kind = find_entry(options.inputs.front());
  const Description d = describe(kind, options);
  if (options.json) {
    Json json{{"kind", name(kind)}};
    for (const Figure& figure : d.figures) json[figure.key] = figure.value;
    print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return 0;
  }
  for (const Figure& figure : d.figures) {
    if (figure.line.empty()) continue;
    const std::size_t tab = figure.line.find('\t');
    print(fmt::format("{:18} {}\n", figure.line.substr(0, tab), figure.line.substr(tab + 1)));
  }
  print(d.text);
  return 0;
}

}  // namespace lightcone::scenarios
