// SPDX-License-Identifier: Apache-2.0
// Imported configurations against the shipped models, and what the import refuses.
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <tuple>
#include <variant>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/import/hf_config.h"
#include "models/load.h"
#include "sim/base/error.h"
#include "sim/base/textproto_parse.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

// The published config.json files.
const char* const kLlama3 = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
  "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 8192, "num_attention_heads": 32,
  "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "rope_theta": 500000.0, "attention_bias": false, "tie_word_embeddings": false, "vocab_size": 128256})";
const char* const kLlama3Large = R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
  "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 8192,
  "initializer_range": 0.02, "intermediate_size": 28672, "max_position_embeddings": 8192, "model_type": "llama",
  "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8, "pretraining_tp": 1,
  "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 500000.0, "tie_word_embeddings": false,
  "torch_dtype": "bfloat16", "transformers_version": "4.40.0.dev0", "use_cache": true, "vocab_size": 128256})";
const char* const kMistral = R"({"model_type": "mistral", "architectures": ["MistralForCausalLM"],
  "hidden_act": "silu", "hidden_size": 4096,
  "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32,
  "num_key_value_heads": 8, "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000})";
const char* const kQwen3 =
    R"({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128, "hidden_act": "silu",
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

// `config` with one more field, such as `"num_experts": 8`.
std::string with(const std::string& config, const std::string& field) {
  return config.substr(0, config.rfind('}')) + ", " + field + "}";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

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
  require_same(kLlama3Large, "llama3_70b");
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

TEST_CASE("every field that was not read is listed, the harmless apart from the unknown") {
  using Names = std::vector<std::string>;
  const ImportedModel model = import_hf_config(kLlama3Large, "config.json");
  REQUIRE(model.harmless == Names{"attention_dropout", "bos_token_id", "eos_token_id", "initializer_range",
                                  "pretraining_tp", "rms_norm_eps", "rope_scaling", "rope_theta", "torch_dtype",
                                  "transformers_version", "use_cache"});
  REQUIRE(model.unknown.empty());
  const std::string odd = with(with(kLlama3, R"("flux": 3)"), R"("hyper_width": {"a": 1})");
  REQUIRE(import_hf_config(odd, "config.json").unknown == Names{"flux", "hyper_width"});
}

TEST_CASE("a field that makes the model another one is refused, and its neutral value is not") {
  struct Case {
    const char* config;
    const char* field;
    const char* wrong;
    const char* neutral;
  };
  for (const Case& c : {Case{kLlama3, "num_experts", "8", "null"},
                        Case{kLlama3, "num_local_experts", "8", "0"},
                        Case{kLlama3, "n_routed_experts", "256", "null"},
                        Case{kLlama3, "moe_intermediate_size", "1536", "0"},
                        Case{kLlama3, "quantization_config", R"({"quant_method": "fp8"})", "null"},
                        Case{kLlama3, "compression_config", R"({"bits": 4})", "{}"},
                        Case{kLlama3, "partial_rotary_factor", "0.5", "1.0"},
                        Case{kLlama3, "rope_scaling", R"({"partial_rotary_factor": 0.25})", R"({"factor": 8.0})"},
                        Case{kLlama3, "cross_attention_layers", "[3, 8]", "[]"},
                        Case{kLlama3, "add_cross_attention", "true", "false"},
                        Case{kLlama3, "vision_config", R"({"depth": 32})", "null"},
                        Case{kLlama3, "sliding_window", "4096", "null"},
                        Case{kLlama3, "layer_types", R"(["linear_attention"])", R"(["full_attention"])"},
                        Case{kLlama3, "kv_lora_rank", "512", "null"},
                        Case{kLlama3, "final_logit_softcapping", "30.0", "null"},
                        Case{kLlama3, "num_nextn_predict_layers", "1", "0"},
                        Case{kMistral, "attention_bias", "true", "false"},
                        Case{kMistral, "mlp_bias", "true", "false"},
                        Case{kQwen3, "mlp_bias", "true", "false"},
                        Case{kQwen3, "layer_types", R"(["linear_attention"])", R"(["full_attention"])"}}) {
    std::string config = c.config;  // JSON takes the last of two equal names; the first goes, to be sure
    const std::size_t there = config.find(std::string("\"") + c.field + "\": null, ");
    if (there != std::string::npos) config.erase(there, std::string(c.field).size() + 10);
    const std::string name = std::string("\"") + c.field + "\": ";
    const std::string refused = error_of(with(config, name + c.wrong));
    INFO(c.field << ": " << c.wrong << ": " << refused);
    CHECK(contains(refused, c.field));
    CHECK(contains(refused, "is not modelled"));
    CHECK(error_of(with(config, name + c.neutral)).empty());
  }
}

TEST_CASE("the class that a configuration names must be the family's model with its LM head") {
  std::string other = kLlama3;
  other.replace(other.find("LlamaForCausalLM"), 16, "LlamaForSequenceClassification");
  REQUIRE(contains(error_of(other), "architectures: \"LlamaForSequenceClassification\" is not modelled"));
  REQUIRE(contains(error_of(other), "LlamaForCausalLM"));
  other.replace(other.find("[\"Llama"), other.find(']') - other.find("[\"Llama") + 1, "\"LlamaForCausalLM\"");
  REQUIRE(contains(error_of(other), "architectures: must be a list of strings"));
}

TEST_CASE("text that is not JSON is refused with its place, whatever the library throws") {
  REQUIRE(contains(error_of("{\"a\": "), "config.json:1:7: is not JSON"));
  REQUIRE(contains(error_of("{\"model_type\": \"llama\",\n \"a\": \"\xff\"}"), "config.json:2:8: is not JSON"));
  REQUIRE(contains(error_of(""), "is not JSON"));
  REQUIRE(contains(error_of("{\"vocab_size\": 1e999}"), "config.json: cannot be read as JSON: number overflow"));
  REQUIRE(contains(error_of("{\"a\":" + std::string(1'000'000, '[')), "nested more than 100 levels"));
  REQUIRE(error_of("{\"a\": \"" + std::string(100'000, 'x')).size() < 500);
  REQUIRE(contains(error_of("[1]"), "JSON object"));
}

TEST_CASE("sizes beyond the limits of a model file are refused") {
  std::string layers = kLlama3;
  layers.replace(layers.find("layers\": 32"), 11, "layers\": 2000000");
  REQUIRE(contains(error_of(layers), "layers: must be from 1 to 1048576"));
  for (const char* wrong : {"1000000000000", "0", "-1", "1.5", "1e3", "\"4096\"", "true", "[]"}) {
    std::string size = kLlama3;
    size.replace(size.find("4096"), 4, wrong);
    INFO(wrong);
    CHECK(contains(error_of(size), "hidden_size: must be a whole number from 1 to 1073741824"));
  }
}

TEST_CASE("what cannot be imported is refused by name") {
  REQUIRE(error_of(R"({"model_type": "lama"})").find("did you mean \"llama\"") != std::string::npos);
  const std::string zamba = error_of(R"({"model_type": "zamba2"})");
  REQUIRE(zamba.find("\"zamba2\" cannot be imported") != std::string::npos);
  REQUIRE(contains(zamba, "accepted: bamba, deepseek_v2,"));
  REQUIRE(contains(
      zamba, "jamba, kimi_k2, llama, mamba, mamba2, mistral, mixtral, nemotron_h, qwen2, qwen3, qwen3_5_moe_text,"));
  REQUIRE(error_of("{}").find("model_type") != std::string::npos);
  REQUIRE(contains(error_of(R"({"model_type": 3})"), "model_type: must be a string, got 3"));
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
