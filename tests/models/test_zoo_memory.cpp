// SPDX-License-Identifier: Apache-2.0
// What the shipped models keep of a sequence, against published figures and tables of layers, and that their graphs
// are built for any length and read the parameters that are counted.
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <string>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/load.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

constexpr std::uint64_t k256K = 262144;
double gibibytes(Bytes bytes) { return bytes.real() / (1u << 30); }

// State that is kept in the state's format: what halving the format saves, twice.
double recurrent_mebibytes(const ModelSpec& model) {
  const Bytes wide = state_bytes(model, NumberFormat::fp32), narrow = state_bytes(model, NumberFormat::bf16);
  return 2 * (wide.real() - narrow.real()) / (1u << 20);
}

// Elements of the matrices that layers read, by their operators.
std::uint64_t matrix_elements(const Graph& graph) {
  std::uint64_t sum = 0;
  for (const Section& section : graph.sections) {
    if (section.name() == "head") continue;
    for (const Node& node : section.in_order()) {
      std::uint64_t one = 0;
      if (const auto* g = std::get_if<Gemm>(&node.op)) {
        if (g->n != 1) one = g->n * g->k;  // a gate of one column counts among the vectors
      } else if (const auto* b = std::get_if<BatchedGemm>(&node.op)) {
        if (b->weights_are_static) one = b->batch * b->n * b->k;
      } else if (const auto* e = std::get_if<GroupedGemm>(&node.op)) {
        one = e->experts * e->n * e->k;
      }
      sum += section.repeat() * one;
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("KV caches at 256K tokens are those of table 1 of the Jamba papers") {
  const std::map<std::string, double> published{
      {"jamba_v0_1", 4}, {"mixtral_8x7b", 32}, {"llama2_7b", 128}, {"jamba_1_5_large", 9}, {"llama2_70b", 80}};
  for (const auto& [name, size] : published) {
    INFO(name);
    CHECK(gibibytes(kv_bytes(load_model(name), k256K, NumberFormat::bf16)) == size);
  }
}

TEST_CASE("KV cache per token of the shipped models, in KiB of BF16") {
  // 2 x KV heads x head size (latent and rotary key with MLA) x layers that attend x 2 bytes.
  const std::map<std::string, double> table{{"qwen3_0_6b", 112},
                                            {"qwen3_1_7b", 112},
                                            {"qwen3_32b", 256},
                                            {"llama3_1_8b", 128},
                                            {"llama3_1_70b", 320},
                                            {"llama3_1_405b", 504},
                                            {"llama2_7b", 512},
                                            {"pythia_160m", 36},
                                            {"pythia_410m", 96},
                                            {"pythia_1_4b", 192},
                                            {"pythia_2_8b", 320},
                                            {"pythia_6_9b", 512},
                                            {"gemma_2b", 18},
                                            {"gemma_7b", 448},
                                            {"mistral_7b", 128},
                                            {"gemma2_9b", 336},
                                            {"gemma3_27b", 496},
                                            {"gemma3_4b", 136},
                                            {"ministral_8b", 144},
                                            {"deepseek_v2_lite", 30.375},
                                            {"deepseek_v2", 67.5},
                                            {"deepseek_v3", 68.625},
                                            {"kimi_k2", 68.625},
                                            {"mixtral_8x22b", 224},
                                            {"qwen3_30b_a3b", 96},
                                            {"qwen3_235b_a22b", 188},
                                            {"qwen3_coder_480b_a35b", 248},
                                            {"gpt_oss_20b", 48},
                                            {"gpt_oss_120b", 72},
                                            {"llama4_scout", 192},
                                            {"jamba_v0_1", 16},
                                            {"jamba_1_5_large", 36},
                                            {"nemotron_h_8b", 16},
                                            {"nemotron_h_56b", 40},
                                            {"nemotron3_nano_30b_a3b", 6},
                                            {"nemotron3_ultra_550b_a55b", 12},
                                            {"bamba_9b", 12},
                                            {"granite4_h_tiny", 8},
                                            {"granite4_h_small", 16},
                                            {"falcon_h1_3b", 32},
                                            {"falcon_h1_7b", 44},
                                            {"qwen3_5_4b", 32},
                                            {"qwen3_next_80b_a3b", 24},
                                            {"qwen3_5_27b", 64},
                                            {"qwen3_5_397b_a17b", 30},
                                            {"minimax_text_01", 40},
                                            {"kimi_linear_48b_a3b", 7.875},
                                            {"kimi_k3", 27},
                                            {"griffin_7b", 5},
                                            {"recurrentgemma_2b", 8},
                                            {"recurrentgemma_9b", 12},
                                            {"zamba2_2_7b", 180},
                                            {"zamba2_7b", 364},
                                            {"mamba_2_8b", 0},
                                            {"rwkv7_2_9b", 0},
                                            {"xlstm_7b", 0}};
  for (const auto& [name, size] : table) {
    INFO(name);
    CHECK(kv_bytes_per_token(load_model(name), NumberFormat::bf16).real() / 1024 == size);
  }
  // The keys of the indexer besides: 61 x (512 + 64 + 128) x 2 bytes.
  CHECK(kv_bytes_per_token(load_model("deepseek_v3_2"), NumberFormat::bf16) == Bytes(61 * 704 * 2));
}

TEST_CASE("recurrent state per sequence of the shipped models, in MiB of FP32") {
  // Mamba: layers x channels x states; linear attention: layers x value heads x key size x value size.
  const std::map<std::string, double> table{{"mamba_130m", 2.25},
                                            {"mamba_370m", 6},
                                            {"mamba_790m", 9},
                                            {"mamba_1_4b", 12},
                                            {"mamba_2_8b", 20},
                                            {"mamba2_130m", 18},
                                            {"mamba2_370m", 48},
                                            {"mamba2_780m", 72},
                                            {"mamba2_1_3b", 96},
                                            {"mamba2_2_7b", 160},
                                            {"falcon_mamba_7b", 32},
                                            {"codestral_mamba_7b", 256},
                                            {"rwkv7_0_1b", 2.25},
                                            {"rwkv7_0_4b", 6},
                                            {"rwkv7_1_5b", 12},
                                            {"rwkv7_2_9b", 20},
                                            {"rwkv7_7b", 32},
                                            {"rwkv6_world_1_6b", 12},
                                            {"xlstm_7b", 128.25},
                                            {"gla_340m", 12},
                                            {"gla_1_3b", 48},
                                            {"gla_7b", 64},
                                            {"gated_deltanet_1_3b", 63},
                                            {"griffin_7b", 0.47},
                                            {"hawk_7b", 0.69},
                                            {"recurrentgemma_2b", 0.18},
                                            {"recurrentgemma_9b", 0.41},
                                            {"jamba_v0_1", 14},
                                            {"jamba_1_5_large", 63},
                                            {"nemotron_h_8b", 96},
                                            {"nemotron_h_56b", 864},
                                            {"nemotron3_nano_30b_a3b", 46},
                                            {"nemotron3_ultra_550b_a55b", 384},
                                            {"bamba_9b", 116},
                                            {"granite4_h_tiny", 54},
                                            {"granite4_h_small", 144},
                                            {"falcon_h1_3b", 128},
                                            {"falcon_h1_7b", 132},
                                            {"qwen3_5_4b", 48},
                                            {"qwen3_next_80b_a3b", 72},
                                            {"qwen3_5_27b", 144},
                                            {"qwen3_5_397b_a17b", 180},
                                            {"minimax_text_01", 280},
                                            {"kimi_linear_48b_a3b", 40},
                                            {"kimi_k3", 414},
                                            {"zamba2_2_7b", 67.5},
                                            {"zamba2_7b", 141.75},
                                            {"llama2_7b", 0}};
  for (const auto& [name, size] : table) {
    CAPTURE(name);
    CHECK(std::abs(recurrent_mebibytes(load_model(name)) - size) < 0.006);
  }
}

TEST_CASE("KV caches with windows stop growing, states do not grow") {
  const ModelSpec gemma = load_model("recurrentgemma_2b");
  CHECK(kv_bytes(gemma, k256K, NumberFormat::bf16) == kv_bytes(gemma, 2048, NumberFormat::bf16));
  // gpt-oss: half of the layers keep 128 tokens.
  const ModelSpec oss = load_model("gpt_oss_20b");
  CHECK(kv_bytes(oss, k256K, NumberFormat::bf16) == Bytes(12 * (k256K + 128) * 2 * 8 * 64 * 2));
}

TEST_CASE("operators read exactly the matrices that are counted, in prefill and in decode") {
  for (const std::string& name : list_models()) {
    ModelSpec model = load_model(name);
    for (Block& block : model.blocks) block.shared = false;  // shared weights are read by every layer
    // Matrices take the weights' format; everything else does not.
    const std::uint64_t counted =
        (weight_bytes(model, NumberFormat::fp32).count() - weight_bytes(model, NumberFormat::bf16).count()) / 2;
    CAPTURE(name);
    CHECK(matrix_elements(build_prefill(model, {.batch = 1, .tokens = 1000})) == counted);
    // Hyena's decode reads filters that its network made before, and not the network.
    if (!decodes(model) || std::holds_alternative<HyenaMixer>(model.blocks.front().mixer)) continue;
    CHECK(matrix_elements(build_decode(model, {.batch = 1, .context = 1000})) == counted);
  }
}

TEST_CASE("every shipped model builds its graphs for 1, 1000 and 262144 tokens") {
  std::size_t graphs = 0;
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& name : list_models()) {
    INFO(name);
    const ModelSpec model = load_model(name);
    for (const std::uint64_t tokens : {std::uint64_t{1}, std::uint64_t{1000}, k256K}) {
      if (model.position == PositionKind::learned && tokens >= model.max_positions) continue;
      const Cost prefill = total_cost(build_prefill(model, {.tokens = tokens}));
      // At least two FLOPs for each parameter that a token passes through, but for the table of embeddings.
      const double active = static_cast<double>(active_parameter_count(model)) -
                            2.0 * static_cast<double>(model.vocabulary) * static_cast<double>(model.d_model);
      CHECK(prefill.flops().real() > 1.9 * active * static_cast<double>(tokens));
      ++graphs;
      if (!decodes(model)) continue;
      CHECK(total_cost(build_decode(model, {.context = tokens})).flops().real() > 1.9 * active);
      ++graphs;
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::cout << graphs << " graphs, " << 1e3 * seconds / static_cast<double>(graphs) << " ms each, files included\n";
}
