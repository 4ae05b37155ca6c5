// SPDX-License-Identifier: Apache-2.0
#include "models/import/hf_config.h"

#include <fmt/format.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "models/import/config_reader.h"
#include "models/import/field_rules.h"
#include "models/import/hybrid_families.h"
#include "models/import/model_text.h"
#include "models/load.h"
#include "models/model_spec.h"
#include "sim/base/error.h"
#include "sim/base/source_text.h"
#include "sim/base/suggest.h"
#include "sim/base/textproto_parse.h"

namespace lightcone::models {

Activation read_activation(ConfigReader& from, const std::string& field, const std::string& missing) {
  static const std::map<std::string, Activation> known{
      {"silu", Activation::silu},     {"swish", Activation::silu},        {"gelu", Activation::gelu},
      {"gelu_new", Activation::gelu}, {"gelu_fast", Activation::gelu},    {"gelu_pytorch_tanh", Activation::gelu},
      {"relu", Activation::relu},     {"relu2", Activation::relu_squared}};
  const std::string text = from.text_or(field, missing);
  const auto found = known.find(text);
  if (found != known.end()) return found->second;
  std::vector<std::string> allowed;
  for (const auto& [name, kind] : known) allowed.push_back(name);
  from.fault(field, "\"" + text + "\" is not modelled" + suggestion_text(text, allowed));
  return Activation::silu;
}

namespace {

// What the families of Llama's shape share; they differ in biases, windows and norms of heads.
struct LlamaTraits {
  bool attention_bias_field = false;  // `attention_bias` covers Q, K, V and the output
  bool qkv_bias = false;              // always there, without a field
  bool qk_norm = false;
  bool mlp_bias_field = false;
  std::uint64_t fixed_head_dim = 0;  // the default where it is not hidden_size / heads
  bool kv_heads_optional = false;    // absent: as many as heads
  bool windowed = false;             // knows sliding_window
  bool window_switch = false;        // and use_sliding_window turns it on
};

// The window of all layers, 0 without one. Absent fields: the defaults of MistralConfig and Qwen2Config.
std::uint64_t read_window(ConfigReader& from, const LlamaTraits& traits, std::uint64_t layers) {
  if (!traits.windowed) return 0;
  const std::uint64_t window = from.absent("sliding_window") ? 4096 : from.size_or("sliding_window", 0);
  if (!traits.window_switch) return window;
  const bool used = from.flag_or("use_sliding_window", false);
  const std::uint64_t without = from.size_or("max_window_layers", 28, 0);  // so many first layers see everything
  const std::set<std::string> kinds = from.texts("layer_types");
  for (const std::string& kind : kinds) {
    if (kind != "full_attention" && kind != "sliding_attention")
      from.fault("layer_types", "\"" + kind + "\" is not modelled; allowed: full_attention, sliding_attention");
  }
  if (!used || window == 0 || kinds == std::set<std::string>{"full_attention"}) return 0;
  if (kinds == std::set<std::string>{"sliding_attention"}) return window;
  if (kinds.empty() && (without == 0 || without >= layers)) return without == 0 ? window : 0;
  from.fault(kinds.empty() ? "max_window_layers" : "layer_types",
             "layers without a window beside layers with one cannot be imported");
  return window;
}

std::uint64_t read_head_dim(ConfigReader& from, const LlamaTraits& traits, std::uint64_t d_model, std::uint64_t heads) {
  if (from.has("head_dim")) return from.size("head_dim");
  if (traits.fixed_head_dim != 0) return traits.fixed_head_dim;
  if (d_model % heads != 0) {
    from.fault("num_attention_heads", fmt::format("{} does not divide hidden_size {}", heads, d_model));
    return 2;
  }
  return d_model / heads;
}

ModelSpec read_llama(ConfigReader& from, const LlamaTraits& traits) {
  ModelSpec out;
  out.vocabulary = from.size("vocab_size");
  out.d_model = from.size("hidden_size");
  out.tied_embeddings = from.flag_or("tie_word_embeddings", false);
  out.max_positions = from.size_or("max_position_embeddings", 0);

  AttentionMixer attention;
  attention.heads = from.size("num_attention_heads");
  attention.kv_heads = traits.kv_heads_optional ? from.size_or("num_key_value_heads", attention.heads)
                                                : from.size("num_key_value_heads");
  attention.head_dim = read_head_dim(from, traits, out.d_model, attention.heads);
  const bool bias = traits.attention_bias_field && from.flag_or("attention_bias", false);
  attention.qkv_bias = bias || traits.qkv_bias;
  attention.output_bias = bias;
  attention.qk_norm = traits.qk_norm;

  DenseMlp mlp;
  mlp.d_ff = from.size("intermediate_size");
  mlp.activation = read_activation(from, "hidden_act", "silu");
  mlp.bias = traits.mlp_bias_field && from.flag_or("mlp_bias", false);

  const std::uint64_t layers = from.size("num_hidden_layers");
  attention.window = read_window(from, traits, layers);
  out.blocks = {{"layers", layers, attention, mlp}};
  return out;
}

ModelSpec read_gpt2(ConfigReader& from) {
  ModelSpec out;
  out.norm = NormKind::layer;
  out.position = PositionKind::learned;
  out.vocabulary = from.size("vocab_size");
  out.d_model = from.size("n_embd");
  out.tied_embeddings = from.flag_or("tie_word_embeddings", true);
  out.max_positions = from.size("n_positions");
  const std::uint64_t heads = from.size("n_head");
  if (out.d_model % heads != 0) from.fault("n_head", fmt::format("{} does not divide n_embd {}", heads, out.d_model));
  const AttentionMixer attention{
      .heads = heads, .kv_heads = heads, .head_dim = out.d_model / heads, .qkv_bias = true, .output_bias = true};
  const std::uint64_t d_ff = from.size_or("n_inner", 4 * out.d_model);
  const DenseMlp mlp{false, d_ff, read_activation(from, "activation_function", "gelu_new"), true};
  out.blocks = {{"layers", from.size("n_layer"), attention, mlp}};
  return out;
}

// Sorted by model_type.
const std::vector<Family>& families() {
  static const std::vector<Family> rows = [] {
    std::vector<Family> all{
        {"gpt2", "GPT2LMHeadModel", read_gpt2},
        {"llama", "LlamaForCausalLM",
         [](ConfigReader& from) {
           return read_llama(from, {.attention_bias_field = true, .mlp_bias_field = true, .kv_heads_optional = true});
         }},
        {"mistral", "MistralForCausalLM", [](ConfigReader& from) { return read_llama(from, {.windowed = true}); }},
        {"qwen2", "Qwen2ForCausalLM",
         [](ConfigReader& from) {
           return read_llama(from, {.qkv_bias = true, .windowed = true, .window_switch = true});
         }},
        {"qwen3", "Qwen3ForCausalLM",
         [](ConfigReader& from) {
           return read_llama(from, {.attention_bias_field = true,
                                    .qk_norm = true,
                                    .fixed_head_dim = 128,
                                    .windowed = true,
                                    .window_switch = true});
         }},
    };
    for (const std::vector<Family>& more : {hybrid_families(), recurrent_families()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    std::sort(all.begin(), all.end(), [](const Family& a, const Family& b) { return a.model_type < b.model_type; });
    return all;
  }();
  return rows;
}

// The row of the family that `model_type` names. Throws at once when there is none: no other field has a meaning then.
const Family& family_of(ConfigReader& from) {
  const std::vector<std::string> accepted = importable_model_types();
  const std::string type = from.text_or("model_type", "");
  from.throw_faults();
  for (const Family& family : families()) {
    if (family.model_type == type) return family;
  }
  const std::string list = fmt::format("; accepted: {}", fmt::join(accepted, ", "));
  if (type.empty()) {
    from.fault("model_type", "is missing: it names the family of the model" + list);
  } else {
    const std::vector<std::string> near = suggestions(type, accepted, 1);
    const std::string meant = near.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", near.front());
    from.fault("model_type", fmt::format("\"{}\" cannot be imported{}{}", type, meant, list));
  }
  from.throw_faults();
  std::abort();  // a fault was just added
}

// A class without the LM head, or of another model, is another model.
void check_architecture(ConfigReader& from, const Family& family) {
  for (const std::string& name : from.texts("architectures")) {
    if (name == family.architecture) continue;
    from.fault("architectures", fmt::format("\"{}\" is not modelled; with model_type \"{}\" allowed: {}", name,
                                            family.model_type, family.architecture));
  }
}

// What is written must be read again: the loader's limits hold for imported models too. Its faults are shown at the
// configuration, whose text the user can change.
void check_loads(const std::string& text, const std::string& file) {
  try {
    const auto message = new_model_message();
    const FieldLocations locations = parse_textproto(std::make_shared<SourceText>(file, text), *message);
    (void)to_model_spec(*message, locations);
  } catch (const ConfigError& error) {
    std::vector<Diagnostic> faults = error.diagnostics();
    for (Diagnostic& fault : faults) {
      fault.where = {file, 0, 0};
      fault.excerpt.clear();
    }
    throw ConfigError(std::move(faults));
  }
}

}  // namespace

std::vector<std::string> importable_model_types() {
  std::vector<std::string> out;
  for (const Family& family : families()) out.emplace_back(family.model_type);
  return out;
}

ImportedModel import_hf_config(const std::string& json, const std::string& file, const ImportOptions& options) {
  const Json config = parse_config(json, file);
  ConfigReader from(config, file);
  const Family& family = family_of(from);
  check_architecture(from, family);
  ModelSpec model = family.read(from);
  const std::string own_name = from.text_or("_name_or_path", "");
  model.name = !options.name.empty() ? options.name : !own_name.empty() ? own_name : family.model_type;
  model.source = options.source.empty() ? "config.json of " + model.name : options.source;
  model.published_parameters = options.published_parameters;
  UnreadFields unread = judge_unread_fields(from);
  from.throw_faults();
  std::string text = to_textproto(model);
  check_loads(text, file);
  return {std::move(text), std::move(unread.harmless), std::move(unread.unknown)};
}

}  // namespace lightcone::models
