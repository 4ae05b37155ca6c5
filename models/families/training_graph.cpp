// SPDX-License-Identifier: Apache-2.0
#include "models/families/training_graph.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "models/families/layer_builder.h"
#include "models/families/model_graph.h"
#include "models/graph/tensor_bytes.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::models {

namespace {

constexpr std::array<std::string_view, 4> kPhases{"forward", "recompute", "backward", "optimiser"};

constexpr const char* kWhat = "the training step";

void check_formats(const TrainingShape& shape) {
  const bool wide =
      shape.weights == NumberFormat::bf16 || shape.weights == NumberFormat::fp16 || shape.weights == NumberFormat::fp32;
  if (!wide) {
    throw ConfigError(fmt::format("training with weights in {} is not modelled; allowed: bf16, fp16, fp32",
                                  lightcone::name(shape.weights)));
  }
  if (shape.gradients != shape.weights && shape.gradients != NumberFormat::fp32) {
    throw ConfigError(fmt::format("gradients in {} beside weights in {}; allowed: the format of the weights, fp32",
                                  lightcone::name(shape.gradients), lightcone::name(shape.weights)));
  }
  if (shape.micro_batches == 0) throw ConfigError("micro_batches must be at least 1");
}

PhaseShape pass_shape(const TrainingShape& shape) {
  PhaseShape pass;
  pass.batch = shape.batch;
  pass.tokens = shape.tokens;
  pass.weights = pass.activations = pass.kv = shape.weights;
  pass.training = true;
  return pass;
}

// Sections of layers lie between the embedding and the head.
bool is_layer(const Graph& graph, std::size_t section) { return section > 0 && section + 1 < graph.sections.size(); }

Recomputation policy_of(const Graph& graph, std::size_t section, const TrainingShape& shape) {
  if (is_layer(graph, section)) return shape.recomputation;
  return shape.recomputation == Recomputation::full ? Recomputation::none : shape.recomputation;
}

void add(TrainingSection& section, TrainingPhase phase, std::vector<Node> nodes) {
  for (Node& node : nodes) section.nodes.push_back({phase, std::move(node)});
}

GradientOptions gradient_options(const ModelSpec& model, const Graph& graph, std::size_t section,
                                 const TrainingShape& shape) {
  GradientOptions options{shape.gradients, shape.micro_batches > 1};
  if (is_layer(graph, section) && model.blocks[section - 1].shared) options.accumulates = true;
  // The head's gradient of a tied table is there when the embedding adds its own.
  if (section == 0 && model.tied_embeddings) options.accumulates = true;
  return options;
}

TrainingSection optimiser(const ModelSpec& model, const TrainingShape& shape) {
  const AdamW step{parameter_count(model), shape.weights, shape.gradients, shape.master()};
  return {"optimiser", 1, {{TrainingPhase::optimiser, {"adamw", step}}}, {}, {}, {}};
}

// The loss works in place; gradients of weights have a place of their own.
bool writes_elsewhere(const Operator& op) {
  const Gemm* gemm = std::get_if<Gemm>(&op);
  return (gemm != nullptr && gemm->activation_transposed) || std::holds_alternative<CrossEntropy>(op) ||
         std::holds_alternative<Backward<GroupedGemm>>(op) || std::holds_alternative<Backward<EmbeddingGather>>(op);
}

// What such a gradient held before is no further tensor.
bool adds_to_gradient(const Operator& op) {
  if (const auto* gemm = std::get_if<Gemm>(&op)) return gemm->activation_transposed && gemm->accumulates;
  const auto* experts = std::get_if<Backward<GroupedGemm>>(&op);
  return experts != nullptr && experts->accumulates;
}

Bytes largest_operator(const TrainingSection& section) {
  std::uint64_t largest = 0;
  for (const TrainingNode& entry : section.nodes) {
    if (entry.phase == TrainingPhase::optimiser) continue;
    const Cost c = cost(entry.node.op);
    const std::uint64_t written = writes_elsewhere(entry.node.op) ? 0 : c.written_bytes.count();
    const std::uint64_t held = adds_to_gradient(entry.node.op) ? c.written_bytes.count() : 0;
    largest = std::max(largest, checked_sum(kWhat, {c.read_bytes.count() - held, written}));
  }
  return Bytes(largest);
}

// Fills `saved`, `again` and `working` of the sections; those of the forward stand first, in the order of `graph`.
void fill_memory(const ModelSpec& model, const TrainingShape& shape, const Graph& graph,
                 std::vector<TrainingSection>& sections) {
  const std::uint64_t tokens = checked_product("tokens", {shape.batch, shape.tokens}) / model.share.context;
  const std::uint64_t divided = model.share.sequence_parallel ? model.share.tensor : 1;
  const Bytes stream = tensor_bytes("layer input", shape.weights, {(tokens + divided - 1) / divided, model.d_model});
  for (std::size_t s = 0; s + 1 < graph.sections.size(); ++s) {  // the head's input is the last layer's result
    const Recomputation policy = policy_of(graph, s, shape);
    const Bytes whole = saved_bytes(graph.sections[s], policy);
    sections[s].saved = policy == Recomputation::full ? stream : whole;
    if (policy == Recomputation::full) sections[s].again = whole;
  }
  for (TrainingSection& section : sections) section.working = largest_operator(section);
}

TrainingMemory memory_of(const ModelSpec& model, const TrainingShape& shape, const Graph& graph,
                         const std::vector<TrainingSection>& sections) {
  const std::uint64_t parameters = parameter_count(model);
  const std::uint64_t states = shape.master() ? 3 : 2;  // master, both moments
  TrainingMemory memory;
  memory.weights = tensor_bytes("weights", shape.weights, {parameters});
  memory.gradients = tensor_bytes("gradients", shape.gradients, {parameters});
  memory.optimiser_states = tensor_bytes("optimiser states", NumberFormat::fp32, {states, parameters});
  std::uint64_t saved = 0, again = 0, working = 0;
  for (std::size_t s = 0; s < sections.size(); ++s) {
    working = std::max(working, sections[s].working.count());
    if (s >= graph.sections.size()) continue;
    again = std::max(again, sections[s].again.count());
    saved =
        checked_sum(kWhat, {saved, checked_product(kWhat, {graph.sections[s].repeat(), sections[s].saved.count()})});
  }
  memory.activations = Bytes(saved);
  memory.working = Bytes(checked_sum(kWhat, {working, again}));
  return memory;
}

}  // namespace

std::string_view name(TrainingPhase phase) { return kPhases[static_cast<std::size_t>(phase)]; }

TrainingGraph build_training(const ModelSpec& model, const TrainingShape& shape) {
  check_formats(shape);
  const Graph forward = build_prefill(model, pass_shape(shape));
  TrainingGraph graph;
  const auto section_of = [&](const Section& section, const char* suffix) {
    return TrainingSection{
        section.name() + suffix, checked_product(kWhat, {section.repeat(), shape.micro_batches}), {}, {}, {}, {}};
  };
  for (const Section& section : forward.sections) {
    graph.sections.push_back(section_of(section, ""));
    add(graph.sections.back(), TrainingPhase::forward, section.in_order());
  }
  for (std::size_t s = forward.sections.size(); s-- > 0;) {
    const Section& section = forward.sections[s];
    graph.sections.push_back(section_of(section, "_backward"));
    add(graph.sections.back(), TrainingPhase::recompute, recomputed(section, policy_of(forward, s, shape)));
    add(graph.sections.back(), TrainingPhase::backward,
        backward_of(section, gradient_options(model, forward, s, shape)));
  }
  graph.sections.push_back(optimiser(model, shape));
  fill_memory(model, shape, forward, graph.sections);
  graph.memory = memory_of(model, shape, forward, graph.sections);
  return graph;
}

}  // namespace lightcone::models
