// SPDX-License-Identifier: Apache-2.0
// Training steps of whole models: FLOPs, memory, every model of the zoo, and what is refused.
#include <cstdint>
#include <ctime>
#include <set>
#include <string>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/families/training_graph.h"
#include "models/load.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

// FLOPs of all GEMMs of a phase, grouped and batched ones too, repeats counted.
std::uint64_t gemm_flops(const TrainingGraph& graph, TrainingPhase phase) {
  std::uint64_t flops = 0;
  for (const TrainingSection& section : graph.sections) {
    for (const TrainingNode& entry : section.nodes) {
      const Operator& op = entry.node.op;
      const bool gemm = std::holds_alternative<Gemm>(op) || std::holds_alternative<BatchedGemm>(op) ||
                        std::holds_alternative<GroupedGemm>(op) || std::holds_alternative<Backward<GroupedGemm>>(op);
      if (entry.phase == phase && gemm) flops += section.repeat * cost(op).matrix_flops.count();
    }
  }
  return flops;
}

std::uint64_t matrix_flops(const TrainingGraph& graph, TrainingPhase phase) {
  std::uint64_t flops = 0;
  for (const TrainingSection& section : graph.sections) {
    for (const TrainingNode& entry : section.nodes) {
      if (entry.phase == phase) flops += section.repeat * cost(entry.node.op).matrix_flops.count();
    }
  }
  return flops;
}

ModelSpec gpt_layer(std::uint64_t layers) {
  ModelSpec m;
  m.name = "gpt";
  m.vocabulary = 64;
  m.d_model = 512;
  m.norm = NormKind::layer;
  m.position = PositionKind::learned;
  m.max_positions = 128;
  const AttentionMixer attention{.heads = 8, .kv_heads = 8, .head_dim = 64, .qkv_bias = true, .output_bias = true};
  m.blocks = {{"layers", layers, attention, DenseMlp{false, 2048, Activation::gelu, true}}};
  return m;
}

}  // namespace

TEST_CASE("every model of the zoo: a training graph in under 50 ms, GEMMs backward twice their forward") {
  // Chosen keys, long convolutions and filters of state spaces are forward only so far.
  std::set<std::string> without_backward{"big_bird_base",    "longformer_base_4096", "nsa_27b", "minimax_m3",
                                         "llama3_1_8b_moba", "s4_wikitext103",       "h3_125m", "hyena_small"};
  for (const std::string& name : list_models()) {
    INFO(name);
    const ModelSpec model = load_model(name);
    TrainingShape shape;
    shape.tokens = 2048;
    if (without_backward.erase(name) > 0) {
      REQUIRE_THROWS_WITH(build_training(model, shape), Catch::Contains("has no backward yet"));
      continue;
    }
    const std::clock_t start = std::clock();  // of this process: others may be busy
    const TrainingGraph graph = build_training(model, shape);
    CHECK(1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 50);
    REQUIRE(gemm_flops(graph, TrainingPhase::backward) == 2 * gemm_flops(graph, TrainingPhase::forward));
    REQUIRE(matrix_flops(graph, TrainingPhase::recompute) == 0);
    // Attention and chunked recurrences come between 2 and 3 times: what is computed again.
    const double ratio = static_cast<double>(matrix_flops(graph, TrainingPhase::backward)) /
                         static_cast<double>(matrix_flops(graph, TrainingPhase::forward));
    CHECK(ratio >= 2);
    CHECK(ratio < 2.75);
    REQUIRE(graph.memory.weights.count() == 2 * parameter_count(model));
    REQUIRE(graph.memory.optimiser_states.count() == 12 * parameter_count(model));
  }
  REQUIRE(without_backward.empty());
}

TEST_CASE("mixed precision keeps 16 bytes per parameter, 18 with fp32 gradients, 16 in plain fp32") {
  const ModelSpec model = gpt_layer(3);
  const auto per_parameter = [&](NumberFormat weights, NumberFormat gradients) {
    TrainingShape shape;
    shape.tokens = 8;
    shape.weights = weights;
    shape.gradients = gradients;
    const TrainingMemory m = build_training(model, shape).memory;
    return (m.weights + m.gradients + m.optimiser_states).real() / static_cast<double>(parameter_count(model));
  };
  REQUIRE(per_parameter(NumberFormat::bf16, NumberFormat::bf16) == 16);
  REQUIRE(per_parameter(NumberFormat::bf16, NumberFormat::fp32) == 18);
  REQUIRE(per_parameter(NumberFormat::fp32, NumberFormat::fp32) == 16);
}

// Korthikanti et al. 2022, section 4: a layer keeps 34 s b h bytes beside the attention matrices, of which 2 s b h are
// the masks of two dropouts, which are not here: inputs of both norms (4), of the QKV product (2), Q, K, V (6), the
// attention's output (2), the inputs of the first matrix of the MLP (2), of GeLU (8) and of the second matrix (8).
// FlashAttention adds a log-sum-exp of 4 a s b bytes; a layer norm two statistics of 4 s b.
TEST_CASE("activations of a GPT layer are those of Korthikanti et al., 34 s b h with both dropout masks") {
  const std::uint64_t s = 128, b = 3, h = 512, a = 8;
  TrainingShape shape;
  shape.batch = b;
  shape.tokens = s;
  const auto kept = [&](Recomputation policy) {
    shape.recomputation = policy;
    return build_training(gpt_layer(7), shape).memory.activations.count() -
           build_training(gpt_layer(6), shape).memory.activations.count();
  };
  const std::uint64_t statistics = 4 * a * s * b + 2 * 2 * 4 * s * b;
  const std::uint64_t dropout_masks = 2 * s * b * h;
  REQUIRE(kept(Recomputation::none) + dropout_masks == 34 * s * b * h + statistics);
  // Without the outputs of the norms (4) and of GeLU (8).
  REQUIRE(kept(Recomputation::selective) == (32 - 4 - 8) * s * b * h + statistics);
  REQUIRE(kept(Recomputation::full) == 2 * s * b * h);
}

TEST_CASE("full recomputation runs every layer again, selective no product") {
  const ModelSpec model = gpt_layer(4);
  TrainingShape shape;
  shape.tokens = 64;
  const TrainingGraph none = build_training(model, shape);
  shape.recomputation = Recomputation::full;
  const TrainingGraph full = build_training(model, shape);
  const std::uint64_t head = 2ull * 64 * 64 * 512;  // the LM head runs once
  REQUIRE(matrix_flops(full, TrainingPhase::recompute) == matrix_flops(none, TrainingPhase::forward) - head);
  REQUIRE(matrix_flops(full, TrainingPhase::backward) == matrix_flops(none, TrainingPhase::backward));
  shape.recomputation = Recomputation::selective;
  const TrainingGraph selective = build_training(model, shape);
  REQUIRE(matrix_flops(selective, TrainingPhase::recompute) == 0);
  std::set<std::string> again;
  for (const TrainingSection& section : selective.sections) {
    for (const TrainingNode& entry : section.nodes) {
      if (entry.phase == TrainingPhase::recompute && section.name == "layers_backward") again.insert(entry.node.name);
    }
  }
  REQUIRE(again == std::set<std::string>{"gelu_again", "post_mixer_norm_again", "next_norm_again"});
}

TEST_CASE("micro batches repeat both passes, not the optimiser, and add to the gradients") {
  const ModelSpec model = gpt_layer(2);
  TrainingShape shape;
  shape.tokens = 64;
  const TrainingGraph one = build_training(model, shape);
  shape.micro_batches = 4;
  const TrainingGraph four = build_training(model, shape);
  REQUIRE(matrix_flops(four, TrainingPhase::forward) == 4 * matrix_flops(one, TrainingPhase::forward));
  REQUIRE(matrix_flops(four, TrainingPhase::backward) == 4 * matrix_flops(one, TrainingPhase::backward));
  REQUIRE(four.sections.back().repeat == 1);
  REQUIRE(std::get<AdamW>(four.sections.back().nodes[0].node.op).parameters == parameter_count(model));
  REQUIRE(four.memory.activations == one.memory.activations);
  REQUIRE(four.memory.working == one.memory.working);
  std::uint64_t weight_gradients = 0;
  for (const TrainingSection& section : four.sections) {
    for (const TrainingNode& entry : section.nodes) {
      const auto* gemm = std::get_if<Gemm>(&entry.node.op);
      if (gemm == nullptr || !gemm->activation_transposed) continue;
      ++weight_gradients;
      REQUIRE(gemm->accumulates);
    }
  }
  REQUIRE(weight_gradients == 5);  // QKV, output, up, down, LM head
}

TEST_CASE("a tied table gets the gradient of the head first, the embedding's is added") {
  ModelSpec model = gpt_layer(1);
  const auto embedding = [&] {
    TrainingShape shape;
    shape.tokens = 8;
    for (const TrainingSection& section : build_training(model, shape).sections) {
      for (const TrainingNode& entry : section.nodes) {
        if (const auto* op = std::get_if<Backward<EmbeddingGather>>(&entry.node.op)) return *op;
      }
    }
    throw std::logic_error("no embedding");
  };
  REQUIRE_FALSE(embedding().accumulates);
  model.tied_embeddings = true;
  REQUIRE(embedding().accumulates);
}

TEST_CASE("training in narrow formats and of nothing is refused") {
  const ModelSpec model = gpt_layer(1);
  TrainingShape shape;
  shape.tokens = 8;
  const auto refused = [&](auto change) {
    TrainingShape wrong = shape;
    change(wrong);
    REQUIRE_THROWS_AS(build_training(model, wrong), ConfigError);
  };
  refused([](TrainingShape& s) { s.weights = NumberFormat::fp8_e4m3; });
  refused([](TrainingShape& s) { s.gradients = NumberFormat::fp16; });
  refused([](TrainingShape& s) { s.micro_batches = 0; });
  refused([](TrainingShape& s) { s.tokens = 0; });
  refused([](TrainingShape& s) { s.tokens = 129; });  // beyond the learned positions
  refused([](TrainingShape& s) { s.batch = std::uint64_t{1} << 60; });
}
