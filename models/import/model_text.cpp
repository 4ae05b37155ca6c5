// SPDX-License-Identifier: Apache-2.0
#include "models/import/model_text.h"

#include <fmt/core.h>

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

std::string attention_text(const AttentionMixer& a) {
  std::string out = fmt::format("  attention {{\n    heads: {}\n    kv_heads: {}\n    head_dim: {}\n", a.heads,
                                a.kv_heads, a.head_dim);
  if (a.window != 0) out += fmt::format("    window: {}\n", a.window);
  if (a.qkv_bias) out += "    qkv_bias: true\n";
  if (a.output_bias) out += "    output_bias: true\n";
  if (a.qk_norm) out += "    qk_norm: true\n";
  return out + "  }\n";
}

std::string mlp_text(const DenseMlp& m) {
  return fmt::format("  dense_mlp {{\n    gated: {}\n    d_ff: {}\n    activation: {}\n{}  }}\n", word(m.gated), m.d_ff,
                     word(m.activation), m.bias ? "    bias: true\n" : "");
}

}  // namespace

std::string to_textproto(const ModelSpec& model) {
  std::string out = fmt::format("name: {}\nvocabulary: {}\nd_model: {}\ntied_embeddings: {}\nnorm: {}\nposition: {}\n",
                                quoted(model.name), model.vocabulary, model.d_model, word(model.tied_embeddings),
                                model.norm == NormKind::rms ? "RMS" : "LAYER",
                                model.position == PositionKind::rotary ? "ROTARY" : "LEARNED");
  if (model.max_positions != 0) out += fmt::format("max_positions: {}\n", model.max_positions);
  for (const Block& block : model.blocks) {
    out += fmt::format("block {{\n  name: {}\n  layers: {}\n", quoted(block.name), block.layers);
    out += attention_text(std::get<AttentionMixer>(block.mixer)) + mlp_text(std::get<DenseMlp>(block.mlp)) + "}\n";
  }
  if (model.published_parameters != 0) out += fmt::format("published_parameters: {}\n", model.published_parameters);
  return out + "source: " + quoted(model.source) + "\n";
}

}  // namespace lightcone::models
