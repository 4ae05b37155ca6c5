// SPDX-License-Identifier: Apache-2.0
#include "models/import/hf_config.h"

#include <fmt/core.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "models/import/model_text.h"
#include "models/model_spec.h"
#include "sim/base/error.h"
#include "sim/base/suggest.h"

namespace lightcone::models {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLargestSize = std::uint64_t{1} << 40;

// Reads fields by name, remembers which were read, and collects every fault.
class ConfigReader {
 public:
  ConfigReader(const Json& config, std::string file) : config_(config), file_(std::move(file)) {}

  // Null counts as not there.
  [[nodiscard]] bool has(const std::string& field) {
    read_.insert(field);
    return config_.contains(field) && !config_.at(field).is_null();
  }
  std::uint64_t size(const std::string& field) {
    if (has(field)) return checked_size(field);
    fault(field, "is missing");
    return 1;
  }
  std::uint64_t size_or(const std::string& field, std::uint64_t missing, std::uint64_t least = 1) {
    return has(field) ? checked_size(field, least) : missing;
  }
  // Not even null is written: the default of the configuration class holds.
  [[nodiscard]] bool absent(const std::string& field) const { return !config_.contains(field); }
  bool flag_or(const std::string& field, bool missing) {
    if (!has(field)) return missing;
    if (config_.at(field).is_boolean()) return config_.at(field).get<bool>();
    fault(field, "must be true or false");
    return missing;
  }
  std::string text_or(const std::string& field, const std::string& missing) {
    if (!has(field)) return missing;
    if (config_.at(field).is_string()) return config_.at(field).get<std::string>();
    fault(field, "must be a string");
    return missing;
  }
  // The different strings of a list; empty without one.
  std::set<std::string> texts(const std::string& field) {
    std::set<std::string> out;
    if (!has(field)) return out;
    for (const Json& text : config_.at(field)) {
      if (text.is_string()) out.insert(text.get<std::string>());
    }
    return out;
  }
  void fault(const std::string& field, std::string message) {
    Diagnostic& added = faults_.emplace_back();
    added.where.file = file_;
    added.field = field;
    added.message = std::move(message);
  }
  void throw_faults() const {
    if (!faults_.empty()) throw ConfigError(faults_);
  }
  [[nodiscard]] std::vector<std::string> ignored() const {
    std::vector<std::string> out;
    for (const auto& [field, value] : config_.items()) {
      if (read_.count(field) == 0) out.push_back(field);
    }
    return out;
  }

 private:
  std::uint64_t checked_size(const std::string& field, std::uint64_t least = 1) {
    const Json& value = config_.at(field);
    const bool whole = value.is_number_unsigned();
    if (whole && value.get<std::uint64_t>() >= least && value.get<std::uint64_t>() <= kLargestSize)
      return value.get<std::uint64_t>();
    fault(field, fmt::format("must be a whole number from {} to {}", least, kLargestSize));
    return 1;
  }

  const Json& config_;
  std::string file_;
  std::set<std::string> read_;
  std::vector<Diagnostic> faults_;
};

Activation read_activation(ConfigReader& from, const std::string& field, const std::string& missing) {
  static const std::map<std::string, Activation> known{
      {"silu", Activation::silu},     {"swish", Activation::silu},     {"gelu", Activation::gelu},
      {"gelu_new", Activation::gelu}, {"gelu_fast", Activation::gelu}, {"gelu_pytorch_tanh", Activation::gelu},
      {"relu", Activation::relu}};
  const std::string text = from.text_or(field, missing);
  const auto found = known.find(text);
  if (found != known.end()) return found->second;
  std::vector<std::string> allowed;
  for (const auto& [name, kind] : known) allowed.push_back(name);
  from.fault(field, "\"" + text + "\" is not modelled" + suggestion_text(text, allowed));
  return Activation::silu;
}

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

using Family = ModelSpec (*)(ConfigReader&);

// One row per family.
const std::map<std::string, Family>& families() {
  static const std::map<std::string, Family> rows{
      {"gpt2", read_gpt2},
      {"llama",
       [](ConfigReader& from) {
         return read_llama(from, {.attention_bias_field = true, .mlp_bias_field = true, .kv_heads_optional = true});
       }},
      {"mistral", [](ConfigReader& from) { return read_llama(from, {.windowed = true}); }},
      {"qwen2",
       [](ConfigReader& from) {
         return read_llama(from, {.qkv_bias = true, .windowed = true, .window_switch = true});
       }},
      {"qwen3",
       [](ConfigReader& from) {
         return read_llama(from, {.attention_bias_field = true,
                                  .qk_norm = true,
                                  .fixed_head_dim = 128,
                                  .windowed = true,
                                  .window_switch = true});
       }},
  };
  return rows;
}

Json parse(const std::string& text, const std::string& file) {
  try {
    Json config = Json::parse(text);
    if (!config.is_object()) throw ConfigError(file + ": a configuration is a JSON object");
    return config;
  } catch (const Json::parse_error& error) {
    throw ConfigError(file + ": is not JSON: " + error.what());
  }
}

}  // namespace

std::vector<std::string> importable_model_types() {
  std::vector<std::string> out;
  for (const auto& [name, family] : families()) out.push_back(name);
  return out;
}

ImportedModel import_hf_config(const std::string& json, const std::string& file, const ImportOptions& options) {
  const Json config = parse(json, file);
  ConfigReader from(config, file);
  const std::string type = from.text_or("model_type", "");
  if (type.empty()) from.fault("model_type", "is missing: it names the family of the model");
  from.throw_faults();
  const auto family = families().find(type);
  if (family == families().end()) {
    from.fault("model_type", "\"" + type + "\" cannot be imported" + suggestion_text(type, importable_model_types()));
    from.throw_faults();
  }
  ModelSpec model = family->second(from);
  const std::string own_name = from.text_or("_name_or_path", "");
  model.name = !options.name.empty() ? options.name : !own_name.empty() ? own_name : type;
  model.source = options.source.empty() ? "config.json of " + model.name : options.source;
  model.published_parameters = options.published_parameters;
  from.throw_faults();
  check(model);
  return {to_textproto(model), from.ignored()};
}

}  // namespace lightcone::models
