// SPDX-License-Identifier: Apache-2.0
// Linear attention, RWKV, RG-LRU, gated convolution, parallel mixers, latent experts and the indexer of latent
// attention, against counts written here from the papers.
#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/load.h"
#include "models/operators_of.h"
#include "sim/base/error.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::models;
using lightcone::test::all_of_kind;

namespace {

constexpr std::uint64_t kD = 64, kOuter = 2 * 1000 * kD + kD;  // two tables and the final norm

ModelSpec load_text(const std::string& tail, const std::string& position = "NONE") {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "model.textproto";
  std::ofstream(file) << "name: \"t\"\nvocabulary: 1000\nd_model: 64\ntied_embeddings: false\nnorm: RMS\nposition: " +
                             position + "\nsource: \"test\"\n" + tail;
  return load_model(file.string());
}

// One layer of the mixer alone: its parameters are those of the model less `kOuter` and one norm.
ModelSpec one_layer(const std::string& mixer, const std::string& mlp = "no_mlp {}",
                    const std::string& position = "NONE") {
  return load_text("block { name: \"m\" layers: 1 " + mixer + " " + mlp + " }\n", position);
}
std::uint64_t mixer_parameters(const std::string& mixer) { return parameter_count(one_layer(mixer)) - kOuter - kD; }

std::string faults_of(const std::string& mixer) {
  try {
    one_layer(mixer);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "none";
}
bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

LinearAttention recurrence(const ModelSpec& model) {
  const auto found = all_of_kind<LinearAttention>(build_decode(model, {.batch = 1, .context = 9}));
  REQUIRE(found.size() == 1);
  CHECK(found[0].reads_state);
  return found[0];
}

}  // namespace

TEST_CASE("Gated DeltaNet: convolved Q, K and V, a decay and a strength per value head, a full gate") {
  const std::string mixer =
      "linear { rule: GATED_DELTA heads: 2 value_heads: 4 key_dim: 8 value_dim: 16 conv_kernel: 4 gate: SILU_GATE "
      "norm: HEADS chunk: 64 }";
  const std::uint64_t q = 2 * 8, v = 4 * 16;
  CHECK(mixer_parameters(mixer) == kD * (2 * q + v + v + 2 * 4) + 4 * (2 * q + v) + 2 * 4 + 16 + v * kD);
  const ModelSpec model = one_layer(mixer);
  CHECK(state_bytes(model, NumberFormat::fp32) == Bytes(4 * 8 * 16 * 4 + 3 * (2 * q + v) * 2));
  CHECK(kv_bytes(model, 1000, NumberFormat::bf16) == Bytes(0));
  const LinearAttention step = recurrence(model);
  CHECK(cost(step).vector_flops == Flops(7 * 4 * 8 * 16));
  CHECK(step.rule == LinearRule::gated_delta);
}

TEST_CASE("KDA: low-rank decays per key channel and a low-rank gate") {
  const std::string mixer =
      "linear { rule: CHANNEL_DELTA heads: 4 key_dim: 8 value_dim: 8 conv_kernel: 4 decay_rank: 6 gate: SIGMOID_GATE "
      "gate_rank: 5 norm: HEADS chunk: 64 }";
  const std::uint64_t w = 4 * 8;
  const std::uint64_t matrices = kD * 3 * w + kD * 4 + (kD + w) * 6 + (kD + w) * 5 + w * kD;
  CHECK(mixer_parameters(mixer) == matrices + 4 * 3 * w + 4 + w + 8);
  CHECK(cost(recurrence(one_layer(mixer))).vector_flops == Flops(7 * 4 * 8 * 8));
}

TEST_CASE("GLA, HGRN2, RetNet, Lightning, DeltaNet and mLSTM differ in their gates") {
  const std::uint64_t w = 4 * 8;
  const auto mixer = [](const std::string& rule, const std::string& rest) {
    return "linear { rule: " + rule + " heads: 4 key_dim: 8 value_dim: 8 chunk: 16 " + rest + " }";
  };
  const std::string plain = "gate: NO_GATE norm: NO_NORM";
  CHECK(mixer_parameters(mixer("SUM", plain)) == 4 * kD * w);
  CHECK(mixer_parameters(mixer("SCALAR_DECAY", "gate: SILU_GATE norm: HEADS")) == 5 * kD * w + 8);     // RetNet
  CHECK(mixer_parameters(mixer("SCALAR_DECAY", "gate: SIGMOID_GATE norm: WIDTH")) == 5 * kD * w + w);  // Lightning
  CHECK(mixer_parameters(mixer("VECTOR_DECAY", plain)) == 4 * kD * w);                                 // HGRN2
  CHECK(mixer_parameters(mixer("VECTOR_DECAY", "decay_rank: 3 gate: SILU_GATE norm: HEADS")) ==
        5 * kD * w + 3 * (kD + w) + w + 8);  // GLA
  CHECK(mixer_parameters(mixer("DELTA", plain)) == 4 * kD * w + 4 * kD);
  const std::string mlstm = mixer("MLSTM", "gate: SIGMOID_GATE norm: WIDTH");
  CHECK(mixer_parameters(mlstm) == 5 * kD * w + 2 * 4 * kD + 2 * 4 + w);
  // The normaliser and the running maximum beside the matrix.
  CHECK(state_bytes(one_layer(mlstm), NumberFormat::fp32) == Bytes(4 * (8 * 8 + 8 + 1) * 4));
  CHECK(cost(recurrence(one_layer(mlstm))).read_bytes >= Bytes(4 * (8 * 8 + 8 + 1) * 4));
}

TEST_CASE("K and V of fewer heads are projected once and repeated") {
  const std::string mixer =
      "linear { rule: VECTOR_DECAY heads: 4 kv_heads: 2 key_dim: 8 value_dim: 8 decay_rank: 3 gate: NO_GATE norm: "
      "HEADS chunk: 16 }";
  CHECK(mixer_parameters(mixer) == kD * (32 + 16 + 16) + 3 * (kD + 16) + 16 + 8 + 32 * kD);
  CHECK(state_bytes(one_layer(mixer), NumberFormat::fp32) == Bytes(4 * 8 * 8 * 4));
}

TEST_CASE("linear attention by chunks costs what the chunk form multiplies") {
  // Q K^T and its product with V, Q S and K^T V, for 10 tokens in chunks of 4, 4 and 2.
  const ModelSpec model =
      one_layer("linear { rule: SCALAR_DECAY heads: 2 key_dim: 8 value_dim: 16 gate: NO_GATE norm: HEADS chunk: 4 }");
  const auto prefill = all_of_kind<LinearAttention>(build_prefill(model, {.batch = 3, .tokens = 10}));
  REQUIRE(prefill.size() == 1);
  const std::uint64_t squares = 4 * 4 + 4 * 4 + 2 * 2;
  CHECK(cost(prefill[0]).matrix_flops == Flops(3 * 2 * (2 * squares * (8 + 16) + 4 * 10 * 8 * 16)));
}

TEST_CASE("RWKV-7: four matrices, low ranks, nineteen vectors with the channel mix") {
  const auto block = [](const std::string& value_rank) {
    return "rwkv7 { heads: 4 head_dim: 16 decay_rank: 6 rate_rank: 5 gate_rank: 7 " + value_rank + " }";
  };
  const std::string mix = "channel_mix { d_ff: 200 }";
  const std::uint64_t mixer = 4 * kD * kD + 2 * kD * (6 + 5 + 7 + 3), vectors = 6 + 3 + 3 + 2;
  CHECK(mixer_parameters(block("value_rank: 3")) == mixer + vectors * kD);
  CHECK(mixer_parameters(block("")) == mixer - 2 * kD * 3 + (vectors - 1) * kD);
  const ModelSpec model = one_layer(block("value_rank: 3"), mix);
  CHECK(parameter_count(model) == kOuter + 2 * kD + mixer + vectors * kD + 2 * kD * 200 + kD);
  // A matrix per head, and the last token of both halves.
  CHECK(state_bytes(model, NumberFormat::fp32) == Bytes(4 * 16 * 16 * 4 + 2 * kD * 2));
  CHECK(cost(recurrence(model)).vector_flops == Flops(9 * 4 * 16 * 16));
  const auto shifts = all_of_kind<CausalConv>(build_decode(model, {.batch = 1, .context = 5}));
  REQUIRE(shifts.size() == 2);
  CHECK(shifts[0].filters == 6);
  // The token and the one before are read once, six mixes are written, and the token is kept.
  CHECK(cost(shifts[0]).read_bytes == Bytes(2 * kD * 2));
  CHECK(cost(shifts[0]).written_bytes == Bytes(7 * kD * 2));
  CHECK(cost(shifts[0]).vector_flops == Flops(6 * kD * 4));
}

TEST_CASE("RWKV-6 and RWKV-4") {
  CHECK(mixer_parameters("rwkv6 { heads: 4 head_dim: 16 mix_rank: 3 decay_rank: 5 }") ==
        5 * kD * kD + 2 * kD * (5 * 3 + 5) + 10 * kD);
  CHECK(mixer_parameters("rwkv4 {}") == 4 * kD * kD + 5 * kD);
  const ModelSpec four = one_layer("rwkv4 {}", "channel_mix { d_ff: 256 receptance: true }");
  CHECK(parameter_count(four) == kOuter + 2 * kD + 4 * kD * kD + 5 * kD + 2 * kD * 256 + kD * kD + 2 * kD);
  CHECK(state_bytes(four, NumberFormat::fp32) == Bytes(3 * kD * 4 + 2 * kD * 2));
}

TEST_CASE("a norm of the embeddings has parameters and an operator") {
  const std::string block = "block { name: \"m\" layers: 1 rwkv4 {} no_mlp {} }\n";
  const ModelSpec with = load_text("embedding_norm: true\n" + block), without = load_text(block);
  CHECK(parameter_count(with) - parameter_count(without) == kD);
  CHECK(all_of_kind<Norm>(build_prefill(with, {})).size() == all_of_kind<Norm>(build_prefill(without, {})).size() + 1);
}

TEST_CASE("RG-LRU: two branches, block-diagonal gates, an elementwise scan") {
  const std::string mixer = "rg_lru { width: 96 blocks: 4 conv_kernel: 4 }";
  const std::uint64_t w = 96;
  CHECK(mixer_parameters(mixer) == 2 * (kD * w + w) + (w * kD + kD) + w * 4 + w + 2 * (4 * (w / 4) * (w / 4) + w) + w);
  const ModelSpec model = one_layer(mixer);
  CHECK(state_bytes(model, NumberFormat::fp32) == Bytes(w * 4 + 3 * w * 2));
  const auto scans = all_of_kind<LinearScan>(build_prefill(model, {.batch = 2, .tokens = 7}));
  REQUIRE(scans.size() == 1);
  CHECK(cost(scans[0]).vector_flops == Flops(2 * 2 * 7 * w));
}

TEST_CASE("a gated convolution keeps the last inputs of its kernel") {
  const std::string mixer = "short_conv { width: 64 conv_kernel: 3 }";
  CHECK(mixer_parameters(mixer) == 4 * kD * kD + 3 * kD);
  CHECK(state_bytes(one_layer(mixer), NumberFormat::fp32) == Bytes(2 * kD * 2));
}

TEST_CASE("parallel mixers have the sum of their parameters, caches and states") {
  const std::string attention = "attention { heads: 4 kv_heads: 2 head_dim: 16 }";
  const std::string mamba = "mamba2 { heads: 4 head_dim: 16 groups: 1 state: 8 conv_kernel: 4 chunk: 16 }";
  const std::string both = "parallel { part { " + attention + " } part { " + mamba + " } }";
  CHECK(mixer_parameters(both) == mixer_parameters(attention) + mixer_parameters(mamba));
  const ModelSpec model = one_layer(both);
  CHECK(kv_bytes_per_token(model, NumberFormat::bf16) == kv_bytes_per_token(one_layer(attention), NumberFormat::bf16));
  CHECK(state_bytes(model, NumberFormat::fp32) == state_bytes(one_layer(mamba), NumberFormat::fp32));
  const Graph graph = build_prefill(model, {.batch = 1, .tokens = 12});
  CHECK(all_of_kind<Attention>(graph).size() == 1);
  CHECK(all_of_kind<LinearAttention>(graph).size() == 1);
}

TEST_CASE("experts at a latent width are reached through two projections") {
  const std::string attention = "attention { heads: 4 kv_heads: 2 head_dim: 16 }";
  const ModelSpec model = one_layer(
      attention, "moe { experts: 8 top_k: 2 d_ff: 40 shared_d_ff: 30 latent: 24 gated: false activation: RELU }");
  const std::uint64_t mixer = mixer_parameters(attention);
  CHECK(parameter_count(model) == kOuter + 2 * kD + mixer + 8 * 2 * 24 * 40 + 2 * kD * 30 + 2 * kD * 24 + kD * 8);
  CHECK(parameter_count(model) - active_parameter_count(model) == 6 * 2 * 24 * 40);
}

TEST_CASE("the indexer of latent attention scores everything and attends to the chosen tokens") {
  const std::string mla = "heads: 4 query_rank: 24 kv_rank: 32 nope_dim: 16 rope_dim: 8 value_dim: 12";
  const std::string indexed = "mla { " + mla + " index_heads: 2 index_dim: 10 index_top_k: 50 }";
  CHECK(mixer_parameters(indexed) - mixer_parameters("mla { " + mla + " }") == 24 * 2 * 10 + kD * (10 + 2) + 2 * 10);
  const ModelSpec model = one_layer(indexed);
  CHECK(kv_bytes_per_token(model, NumberFormat::bf16) == Bytes((32 + 8 + 10) * 2));
  const auto attention = all_of_kind<Attention>(build_decode(model, {.batch = 1, .context = 199}));
  REQUIRE(attention.size() == 2);
  CHECK(cost(attention[0]).matrix_flops == Flops(2 * 2 * 200 * (10 + 1)));  // and the weighted sum over the heads
  CHECK(cost(attention[1]).matrix_flops == Flops(2 * 4 * 50 * (40 + 32)));
  const auto chosen = all_of_kind<TopK>(build_decode(model, {.batch = 1, .context = 199}));
  REQUIRE(chosen.size() == 1);
  CHECK(chosen[0].columns == 200);
  CHECK(chosen[0].k == 50);
  // Short contexts are scored too, and nothing is left out.
  CHECK(all_of_kind<TopK>(build_decode(model, {.batch = 1, .context = 19})).at(0).k == 20);
  CHECK(cost(all_of_kind<Attention>(build_decode(model, {.batch = 1, .context = 19})).at(1)).matrix_flops ==
        Flops(2 * 4 * 20 * (40 + 32)));
  // Prefill: each token attends to the tokens before it, 50 of them at most.
  const auto prefill = all_of_kind<Attention>(build_prefill(model, {.batch = 1, .tokens = 60}));
  CHECK(cost(prefill.at(1)).matrix_flops == Flops(2 * 4 * (50 * 51 / 2 + 10 * 50) * (40 + 32)));
}

TEST_CASE("without rotary positions latent attention turns nothing, but keeps the shared key") {
  const std::string mla = "mla { heads: 4 kv_rank: 32 nope_dim: 16 rope_dim: 8 value_dim: 12 }";
  CHECK(all_of_kind<Rotary>(build_prefill(one_layer(mla), {})).empty());
  CHECK(all_of_kind<Rotary>(build_prefill(one_layer(mla, "no_mlp {}", "ROTARY"), {})).size() == 1);
  CHECK(kv_bytes_per_token(one_layer(mla), NumberFormat::bf16) == Bytes(40 * 2));
}

TEST_CASE("sizes of recurrent kinds that contradict each other are refused at their field") {
  const std::string sizes = " heads: 4 key_dim: 8 value_dim: 8 gate: NO_GATE norm: HEADS ";
  CHECK(says(faults_of("linear { rule: SUM chunk: 0" + sizes + "}"), "chunk: must be from 1"));
  CHECK(says(faults_of("linear { rule: SUM chunk: 8 value_heads: 6" + sizes + "}"), "6 is no multiple of heads 4"));
  CHECK(says(faults_of("linear { rule: SUM chunk: 8 kv_heads: 3" + sizes + "}"), "3 does not divide heads 4"));
  CHECK(says(faults_of("linear { rule: SUM chunk: 8 decay_rank: 3" + sizes + "}"), "belongs to VECTOR_DECAY"));
  CHECK(says(faults_of("linear { rule: CHANNEL_DELTA chunk: 8" + sizes + "}"), "decay_rank: must be at least 1"));
  CHECK(says(faults_of("linear { rule: SUM chunk: 8 gate_rank: 3" + sizes + "}"), "the output has no gate"));
  CHECK(says(faults_of("linear { rule: SUM chunk: 8 rotary: true" + sizes + "}"), "position is not ROTARY"));
  CHECK(says(faults_of("rwkv7 { heads: 3 head_dim: 16 decay_rank: 6 rate_rank: 5 gate_rank: 7 }"),
             "3 heads of 16 are not as wide as d_model 64"));
  CHECK(says(faults_of("rg_lru { width: 90 blocks: 4 conv_kernel: 4 }"), "4 does not divide width 90"));
  CHECK(says(faults_of("parallel { part { rwkv4 {} } }"), "fewer than two parts"));
  CHECK(says(faults_of("parallel { part { rwkv4 {} } part {} }"), "one of attention"));
  CHECK(says(faults_of("parallel { part { rwkv4 {} } part { rg_lru { width: 90 blocks: 4 conv_kernel: 4 } } }"),
             "parallel.part[1].rg_lru.blocks"));
  CHECK(says(faults_of("mla { heads: 4 kv_rank: 32 nope_dim: 16 value_dim: 12 index_top_k: 5 }"),
             "belongs to index_heads"));
}
