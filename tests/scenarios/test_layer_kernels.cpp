// SPDX-License-Identifier: Apache-2.0
// Every kind of layer has kernels, at prefill and decode, on each generation of tensor cores: sound programs for all of
// its operators. And what tiling is for: attention with its scores in memory is bound by it, tiled attention by
// products.
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "hardware/example_gpus.h"
#include "models/families/model_graph.h"
#include "models/load.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/operator_sums.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;

namespace {

const std::string kHeads = "heads: 4 kv_heads: 4 head_dim: 64 ";
const std::vector<std::string> kMixers{
    "attention { " + kHeads + "}",
    "attention { " + kHeads + "materialised: true }",
    "attention { " + kHeads + "span { tokens: 40 heads: 3 } span { tokens: 200 heads: 1 } }",
    "attention { " + kHeads + "window: 128 sink_keys { sinks: 4 } }",
    "attention { " + kHeads + "fixed_keys { stride: 64 summary: 8 } }",
    "attention { " + kHeads + "strided_keys { stride: 32 } }",
    "attention { " + kHeads + "bidirectional: true longformer_keys { one_sided: 64 global: 2 } }",
    "attention { " + kHeads + "bidirectional: true big_bird_keys { block: 16 random: 3 } }",
    "attention { heads: 8 kv_heads: 2 head_dim: 64 nsa_keys { compress_block: 32 compress_stride: 16 block: 64 "
    "selected: 4 window: 128 } }",
    "attention { heads: 8 kv_heads: 2 head_dim: 64 moba_keys { block: 64 top_k: 3 } }",
    "attention { heads: 8 kv_heads: 2 head_dim: 64 indexed_keys { index_heads: 2 index_dim: 64 block: 64 top_k: 4 } }",
    "attention { heads: 8 kv_heads: 2 head_dim: 64 quest_keys { page: 16 top_pages: 8 } }",
    "attention { " + kHeads + "lsh_keys { rounds: 2 bucket: 64 } }",
    "attention { " + kHeads + "routed_keys { clusters: 8 } }",
    "attention { " + kHeads + "bidirectional: true cluster_keys { clusters: 16 segment: 128 } }",
    "s4 { states: 32 }",
    "s4 { states: 32 diagonal: true }",
    "diagonal { states: 128 }",
    "diagonal { states: 128 half_gate: true }",
    "h3 { states: 32 shift: 64 }",
    "hyena { order: 2 filter_width: 64 position_features: 33 short_kernel: 3 }",
    "lstm { width: 256 }",
    "slstm { width: 256 heads: 4 }",
    "min_gru { width: 256 }",
    "mamba3 { heads: 8 head_dim: 64 groups: 1 state: 64 chunk: 64 }",
    "rwkv5 { heads: 4 head_dim: 64 }",
    "rwkv6 { heads: 4 head_dim: 64 mix_rank: 32 decay_rank: 64 }",
    "rwkv7 { heads: 4 head_dim: 64 decay_rank: 64 rate_rank: 64 gate_rank: 128 }",
    "rwkv4 {}",
    "linear { rule: MLSTM heads: 4 key_dim: 32 value_dim: 64 gate: SIGMOID_GATE norm: WIDTH chunk: 64 }",
    "linear { rule: SUM heads: 4 key_dim: 64 value_dim: 64 gate: NO_GATE norm: NO_NORM chunk: 64 features: ELU "
    "normalised: true }",
    "linear { rule: SUM heads: 4 key_dim: 16 value_dim: 64 gate: NO_GATE norm: NO_NORM chunk: 64 features: TAYLOR "
    "normalised: true }",
    "linear { rule: SUM heads: 4 key_dim: 64 value_dim: 64 gate: NO_GATE norm: NO_NORM chunk: 64 features: FAVOR "
    "projections: 128 }",
};

models::ModelSpec layer(const std::string& mixer) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "model.textproto";
  std::ofstream(file)
      << "name: \"t\"\nvocabulary: 1000\nd_model: 256\ntied_embeddings: true\nnorm: RMS\nposition: NONE\n"
         "block { name: \"a\" layers: 1\n"
      << mixer << "\nno_mlp {} }\nsource: \"test\"\n";
  return models::load_model(file.string());
}

void require_kernels(const models::Graph& graph, const hardware::GpuSpec& gpu) {
  for (const models::Section& section : graph.sections) {
    if (section.name() == "embedding" || section.name() == "head") continue;
    for (const models::Node& node : section.in_order()) {
      INFO(node.name);
      REQUIRE_FALSE(map_operator(node.op, gpu).kernels.empty());
      (void)sound_sums(node.op, gpu);
    }
  }
}

// Bounds of all kernels of the operators together.
struct Bounds {
  double tensor = 0, hbm = 0, time = 0;
};
Bounds bounds_of(const std::string& mixer, const hardware::GpuSpec& gpu) {
  const models::Graph graph = models::build_prefill(layer(mixer), {.batch = 4, .tokens = 4096});
  Bounds sum;
  for (const models::Node& node : graph.sections[1].in_order()) {
    const bool core = node.name == "attention" || node.name == "scores" || node.name == "scale_and_mask" ||
                      node.name == "softmax" || node.name == "values";
    if (!core) continue;
    for (const hardware::TileProgram& program : map_operator(node.op, gpu).kernels) {
      const KernelResult result = hardware::evaluate_analytical(program, gpu);
      sum.tensor += result.bounds.tensor.count();
      sum.hbm += result.bounds.hbm.count();
      sum.time += result.time.count();
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("every kind of layer has kernels for a prompt and for a decode step") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    for (const std::string& mixer : kMixers) {
      INFO(mixer);
      const models::ModelSpec model = layer(mixer);
      require_kernels(models::build_prefill(model, {.batch = 2, .tokens = 500}), gpu);
      if (mixer.find("bidirectional") != std::string::npos) continue;
      require_kernels(models::build_decode(model, {.batch = 2, .context = 700}), gpu);
    }
  }
}

TEST_CASE("tiling moves attention from the bandwidth of memory to the tensor cores") {
  const hardware::GpuSpec gpu = hardware::example_h100();
  const std::string heads = "attention { heads: 16 kv_heads: 16 head_dim: 128 ";
  const Bounds tiled = bounds_of(heads + "}", gpu), materialised = bounds_of(heads + "materialised: true }", gpu);
  REQUIRE(tiled.tensor > 2 * tiled.hbm);
  REQUIRE(materialised.hbm > materialised.tensor);
  REQUIRE(materialised.hbm > 10 * tiled.hbm);
  REQUIRE(materialised.time > 2 * tiled.time);  // the paper's 2-4 times, and more as the whole square is computed
}
