// SPDX-License-Identifier: Apache-2.0
// Imported configurations against the shipped models, and what the import refuses.
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <tuple>
#include <variant>

#include "catch.h"
#include "models/families/dense_transformer.h"
#include "models/import/hf_config.h"
#include "models/load.h"
#include "sim/base/error.h"
#include "sim/base/textproto_parse.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

// Fields of the published config.json files that give sizes.
const char* const kLlama3 = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
  "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 8192, "num_attention_heads": 32,
  "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "rope_theta": 500000.0, "attention_bias": false, "tie_word_embeddings": false, "vocab_size": 128256})";
const char* const kMistral = R"({"model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096,
  "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32,
  "num_key_value_heads": 8, "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000})";
const char* const kQwen3 = R"({"model_type": "qwen3", "attention_bias": false, "head_dim": 128, "hidden_act": "silu",
  "hidden_size": 4096, "intermediate_size": 12288, "max_position_embeddings": 40960, "max_window_layers": 36,
  "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8, "sliding_window": null,
  "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151936})";

std::string qwen2(const std::string& window_fields) {
  return R"({"model_type": "qwen2", "hidden_act": "silu", "hidden_size": 3584, "intermediate_size": 18944,
    "max_position_embeddings": 131072, "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
    "tie_word_embeddings": false, "vocab_size": 152064)" +
         window_fields + "}";
}

ModelSpec load_text(const std::string& text) {
  const auto message = new_model_message();
  const FieldLocations locations = parse_textproto(std::make_shared<SourceText>("imported.textproto", text), *message);
  return to_model_spec(*message, locations);
}

ModelSpec imported(const std::string& json) { return load_text(import_hf_config(json, "config.json").textproto); }

std::uint64_t window_of(const ModelSpec& model) { return std::get<AttentionMixer>(model.blocks.at(0).mixer).window; }

std::string error_of(const std::string& json) {
  try {
    import_hf_config(json, "config.json");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

// The shipped model as the same file text, once name, source and count are taken over.
void require_same(const std::string& json, const std::string& shipped) {
  const ModelSpec expected = load_model(shipped);
  const ImportOptions options{expected.name, expected.source, expected.published_parameters};
  const ModelSpec got = load_text(import_hf_config(json, "config.json", options).textproto);
  INFO(shipped);
  REQUIRE(got.name == expected.name);
  REQUIRE(got.source == expected.source);
  REQUIRE(got.published_parameters == expected.published_parameters);
  REQUIRE(got.vocabulary == expected.vocabulary);
  REQUIRE(got.d_model == expected.d_model);
  REQUIRE(got.tied_embeddings == expected.tied_embeddings);
  REQUIRE(got.norm == expected.norm);
  REQUIRE(got.position == expected.position);
  REQUIRE(got.max_positions == expected.max_positions);
  REQUIRE(got.blocks.size() == expected.blocks.size());
  for (std::size_t i = 0; i < got.blocks.size(); ++i) {
    REQUIRE(got.blocks[i].name == expected.blocks[i].name);
    REQUIRE(got.blocks[i].layers == expected.blocks[i].layers);
    const auto& a = std::get<AttentionMixer>(got.blocks[i].mixer);
    const auto& b = std::get<AttentionMixer>(expected.blocks[i].mixer);
    REQUIRE(std::tie(a.heads, a.kv_heads, a.head_dim, a.window, a.qkv_bias, a.output_bias, a.qk_norm) ==
            std::tie(b.heads, b.kv_heads, b.head_dim, b.window, b.qkv_bias, b.output_bias, b.qk_norm));
    const auto& m = std::get<DenseMlp>(got.blocks[i].mlp);
    const auto& n = std::get<DenseMlp>(expected.blocks[i].mlp);
    REQUIRE(std::tie(m.gated, m.d_ff, m.activation, m.bias) == std::tie(n.gated, n.d_ff, n.activation, n.bias));
  }
}

}  // namespace

TEST_CASE("imported configurations equal the shipped models") {
  require_same(kLlama3, "llama3_8b");
  require_same(kMistral, "mistral_7b");
  require_same(kQwen3, "qwen3_8b");
  // GPT-3 in the fields of GPT-2.
  require_same(R"({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 12288, "n_layer": 96, "n_head": 96,
    "n_positions": 2048, "activation_function": "gelu_new"})",
               "gpt3_175b");
}

TEST_CASE("GPT-2 and Qwen2.5-7B have the parameters of their checkpoints") {
  // GPT-2 small: 124,439,808; Qwen2.5-7B: 7,615,616,512.
  REQUIRE(parameter_count(imported(R"({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12,
    "n_head": 12, "n_positions": 1024, "n_ctx": 1024, "n_inner": null})")) == 124439808);
  REQUIRE(parameter_count(imported(qwen2(""))) == 7615616512);
}

TEST_CASE("windows follow the switches of the configuration") {
  REQUIRE(window_of(imported(qwen2(R"(, "sliding_window": 512, "use_sliding_window": false)"))) == 0);
  REQUIRE(window_of(imported(qwen2(R"(, "sliding_window": 512, "use_sliding_window": true,
    "max_window_layers": 0)"))) == 512);
  REQUIRE(window_of(imported(qwen2(R"(, "sliding_window": 512, "use_sliding_window": true,
    "max_window_layers": 28)"))) == 0);
  const std::string mixed = error_of(qwen2(R"(, "sliding_window": 512, "use_sliding_window": true,
    "max_window_layers": 14)"));
  REQUIRE(mixed.find("max_window_layers") != std::string::npos);
  std::string later = kMistral;  // v0.2: null, no window
  later.replace(later.find("4096, \"tie"), 4, "null");
  REQUIRE(window_of(imported(later)) == 0);
}

TEST_CASE("fields that were not read are listed") {
  const ImportedModel model = import_hf_config(kLlama3, "config.json");
  REQUIRE(model.ignored == std::vector<std::string>{"architectures", "rms_norm_eps", "rope_scaling", "rope_theta"});
}

TEST_CASE("what cannot be imported is refused by name") {
  REQUIRE(error_of(R"({"model_type": "lama"})").find("did you mean \"llama\"") != std::string::npos);
  const std::string mamba = error_of(R"({"model_type": "mamba2"})");
  REQUIRE(mamba.find("\"mamba2\" cannot be imported") != std::string::npos);
  REQUIRE(error_of("{}").find("model_type") != std::string::npos);
  REQUIRE(error_of("[1]").find("JSON object") != std::string::npos);
  REQUIRE(error_of("{\"a\": ").find("is not JSON") != std::string::npos);
  std::string wrong = kLlama3;
  wrong.replace(wrong.find("\"silu\""), 6, "\"slu\"");
  wrong.replace(wrong.find("4096"), 4, "-1");
  const std::string both = error_of(wrong);
  REQUIRE(both.find("hidden_act") != std::string::npos);
  REQUIRE(both.find("hidden_size") != std::string::npos);
  std::string heads = kLlama3;
  heads.replace(heads.find("heads\": 8"), 9, "heads\": 3");
  REQUIRE(error_of(heads).find("3 does not divide heads 32") != std::string::npos);
}
