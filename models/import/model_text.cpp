// SPDX-License-Identifier: Apache-2.0
#include "models/import/model_text.h"

#include <fmt/core.h>

#include <variant>
#include <vector>

#include "sim/base/error.h"

namespace lightcone::models {
namespace {

const char* word(bool value) { return value ? "true" : "false"; }
const char* word(Activation a) {
  return a == Activation::silu   ? "SILU"
         : a == Activation::gelu ? "GELU"
         : a == Activation::relu ? "RELU"
                                 : "RELU_SQUARED";
}

// A string of the text format. JSON's escapes of control characters are not all the text format's: they become blanks.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

// One field; nothing for a value that absence means too.
std::string field(const char* name, std::uint64_t value) { return fmt::format("    {}: {}\n", name, value); }
std::string given(const char* name, std::uint64_t value) { return value == 0 ? std::string() : field(name, value); }
std::string given(const char* name, bool value) { return value ? fmt::format("    {}: true\n", name) : std::string(); }

std::string text_of(const AttentionMixer& a) {
  std::string out = field("heads", a.heads) + field("kv_heads", a.kv_heads) + field("head_dim", a.head_dim) +
                    given("window", a.window) + given("qkv_bias", a.qkv_bias) + given("output_bias", a.output_bias) +
                    given("qk_norm", a.qk_norm) + given("value_dim", a.value_dim);
  if (a.rotary_dim) out += field("rotary_dim", *a.rotary_dim);
  return "  attention {\n" + out + given("sinks", a.sinks) + given("output_gate", a.output_gate) + "  }\n";
}

std::string text_of(const MlaMixer& a) {
  return "  mla {\n" + field("heads", a.heads) + given("query_rank", a.query_rank) + field("kv_rank", a.kv_rank) +
         field("nope_dim", a.nope_dim) + given("rope_dim", a.rope_dim) + field("value_dim", a.value_dim) +
         given("output_gate", a.output_gate) + given("index_heads", a.index_heads) + given("index_dim", a.index_dim) +
         given("index_top_k", a.index_top_k) + "  }\n";
}

std::string text_of(const Mamba1Mixer& m) {
  return "  mamba1 {\n" + field("inner", m.inner) + field("state", m.state) + field("dt_rank", m.dt_rank) +
         field("conv_kernel", m.conv_kernel) + given("inner_norms", m.inner_norms) + "  }\n";
}

std::string text_of(const Mamba2Mixer& m) {
  return "  mamba2 {\n" + field("heads", m.heads) + field("head_dim", m.head_dim) + field("groups", m.groups) +
         field("state", m.state) + field("conv_kernel", m.conv_kernel) + field("chunk", m.chunk) +
         (m.norm ? "" : "    norm: false\n") + "  }\n";
}

// Gated DeltaNet is the one rule that the import knows.
std::string text_of(const LinearMixer& m) {
  LIGHTCONE_ASSERT(m.rule == LinearRule::gated_delta && m.gate == OutputGate::silu && m.norm == OutputNorm::heads);
  return "  linear {\n    rule: GATED_DELTA\n" + field("heads", m.heads) + field("value_heads", m.value_heads) +
         field("key_dim", m.key_dim) + field("value_dim", m.value_dim) + given("conv_kernel", m.conv_kernel) +
         "    gate: SILU_GATE\n    norm: HEADS\n" + field("chunk", m.chunk) + "  }\n";
}

std::string text_of(const RgLruMixer& m) {
  return "  rg_lru {\n" + field("width", m.width) + field("blocks", m.blocks) + field("conv_kernel", m.conv_kernel) +
         "  }\n";
}

// No family of the import has other kinds.
template <class Kind>
std::string text_of(const Kind&) {
  LIGHTCONE_ASSERT(false);
  return {};
}

std::string text_of(const ParallelMixer& m) {
  std::string out = "  parallel {\n";
  for (const SingleMixer& part : m.parts) {
    out += "  part {\n" + std::visit([](const auto& mixer) { return text_of(mixer); }, part) + "  }\n";
  }
  return out + "  }\n";
}

std::string text_of(const NoMlp&) { return "  no_mlp {}\n"; }

std::string text_of(const DenseMlp& m) {
  return fmt::format("  dense_mlp {{\n    gated: {}\n    d_ff: {}\n    activation: {}\n{}  }}\n", word(m.gated), m.d_ff,
                     word(m.activation), m.bias ? "    bias: true\n" : "");
}

std::string text_of(const MoeMlp& m) {
  return "  moe {\n" + field("experts", m.experts) + field("top_k", m.top_k) + field("d_ff", m.d_ff) +
         given("shared_d_ff", m.shared_d_ff) + given("shared_gate", m.shared_gate) +
         given("router_bias", m.router_bias) +
         fmt::format("    gated: {}\n    activation: {}\n", word(m.gated), word(m.activation)) + given("bias", m.bias) +
         given("latent", m.latent) + "  }\n";
}

const char* word(PositionKind position) {
  return position == PositionKind::rotary ? "ROTARY" : position == PositionKind::learned ? "LEARNED" : "NONE";
}

// The names of the layers in order, as far as they do not repeat.
std::string pattern_text(const ModelSpec& model) {
  const std::vector<std::size_t>& all = model.pattern;
  std::size_t period = 1;
  const auto repeats = [&] {
    for (std::size_t i = period; i < all.size(); ++i) {
      if (all[i] != all[i - period]) return false;
    }
    return true;
  };
  while (!repeats()) ++period;
  std::string out;
  for (std::size_t i = 0; i < period; ++i) out += (i == 0 ? "" : " ") + model.blocks[all[i]].name;
  return fmt::format("layers: {}\npattern: {}\n", all.size(), quoted(out));
}

}  // namespace

std::string to_textproto(const ModelSpec& model) {
  std::string out = fmt::format("name: {}\nvocabulary: {}\nd_model: {}\ntied_embeddings: {}\nnorm: {}\nposition: {}\n",
                                quoted(model.name), model.vocabulary, model.d_model, word(model.tied_embeddings),
                                model.norm == NormKind::rms ? "RMS" : "LAYER", word(model.position));
  if (model.max_positions != 0) out += fmt::format("max_positions: {}\n", model.max_positions);
  if (!model.pattern.empty()) out += pattern_text(model);
  const auto text = [](const auto& kind) { return text_of(kind); };
  for (const Block& block : model.blocks) {
    out += fmt::format("block {{\n  name: {}\n", quoted(block.name));
    if (model.pattern.empty()) out += fmt::format("  layers: {}\n", block.layers);
    out += std::visit(text, block.mixer) + std::visit(text, block.mlp);
    out += std::string(block.post_norms ? "  post_norms: true\n" : "") + "}\n";
  }
  if (model.published_parameters != 0) out += fmt::format("published_parameters: {}\n", model.published_parameters);
  return out + "source: " + quoted(model.source) + "\n";
}

}  // namespace lightcone::models
