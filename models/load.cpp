// SPDX-License-Identifier: Apache-2.0
#include "models/load.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

#include "models/load_keys.h"
#include "models/model.pb.h"
#include "sim/base/message_reader.h"
#include "sim/base/resources.h"
#include "sim/base/suggest.h"
#include "sim/base/textproto_overlay.h"

namespace lightcone::models {
namespace {

constexpr IntegerBounds kSize{1, 1u << 30};
constexpr IntegerBounds kKernel{1, 4096};
constexpr IntegerBounds kLayers{1, 1u << 20};
constexpr IntegerBounds kAnyCount{1, std::uint64_t{1} << 50};

bool flag(const MessageReader& from, const std::string& field) { return from.has(field) && from.boolean(field); }

// The value of a schema's enum, whose first member after UNSPECIFIED is the first of `Kind`.
template <class Kind>
Kind kind(const MessageReader& from, const std::string& field) {
  return static_cast<Kind>(std::max(0, from.enumeration(field) - 1));
}

AttentionMixer read_attention(const MessageReader& from) {
  AttentionMixer out;
  out.heads = from.integer("heads", kSize);
  out.kv_heads = from.integer("kv_heads", kSize);
  out.head_dim = from.integer("head_dim", kSize);
  out.window = from.integer_or("window", 0, {1, std::uint64_t{1} << 40});
  out.qkv_bias = flag(from, "qkv_bias");
  out.output_bias = flag(from, "output_bias");
  out.qk_norm = flag(from, "qk_norm");
  out.value_dim = from.integer_or("value_dim", 0, kSize);
  if (from.has("rotary_dim")) out.rotary_dim = from.integer("rotary_dim", {0, kSize.most});
  out.sinks = flag(from, "sinks");
  out.output_gate = flag(from, "output_gate");
  out.with_embeddings = flag(from, "with_embeddings");
  out.bidirectional = flag(from, "bidirectional");
  out.materialised = flag(from, "materialised");
  for (const MessageReader& span : from.children("span")) {
    const std::uint64_t tokens = span.integer("tokens", kSize), heads = span.integer("heads", {1, 1u << 16});
    out.spans.insert(out.spans.end(), heads, tokens);
  }
  out.choice = read_key_choice(from);
  return out;
}

MlaMixer read_mla(const MessageReader& from) {
  MlaMixer out;
  out.heads = from.integer("heads", kSize);
  out.query_rank = from.integer_or("query_rank", 0, kSize);
  out.kv_rank = from.integer("kv_rank", kSize);
  out.nope_dim = from.integer("nope_dim", kSize);
  out.rope_dim = from.integer_or("rope_dim", 0, kSize);
  out.value_dim = from.integer("value_dim", kSize);
  out.output_gate = flag(from, "output_gate");
  if (from.has("index_heads")) {
    out.index_heads = from.integer("index_heads", kSize);
    out.index_dim = from.integer("index_dim", kSize);
    out.index_top_k = from.integer("index_top_k", kSize);
  } else {
    for (const char* field : {"index_dim", "index_top_k"}) {
      if (from.has(field)) from.fault(field, "belongs to index_heads, which is not given");
    }
  }
  return out;
}

Mamba1Mixer read_mamba1(const MessageReader& from) {
  Mamba1Mixer out;
  out.inner = from.integer("inner", kSize);
  out.state = from.integer("state", kSize);
  out.dt_rank = from.integer("dt_rank", kSize);
  out.conv_kernel = from.integer("conv_kernel", kKernel);
  out.inner_norms = flag(from, "inner_norms");
  return out;
}

Mamba2Mixer read_mamba2(const MessageReader& from) {
  Mamba2Mixer out;
  out.heads = from.integer("heads", kSize);
  out.head_dim = from.integer("head_dim", kSize);
  out.groups = from.integer("groups", kSize);
  out.state = from.integer("state", kSize);
  out.conv_kernel = from.integer("conv_kernel", kKernel);
  out.chunk = from.integer("chunk", kSize);
  out.norm = !from.has("norm") || from.boolean("norm");
  return out;
}

LinearMixer read_linear(const MessageReader& from) {
  static constexpr LinearRule kRules[] = {LinearRule::sum,   LinearRule::scalar_decay, LinearRule::vector_decay,
                                          LinearRule::delta, LinearRule::gated_delta,  LinearRule::channel_delta,
                                          LinearRule::mlstm};
  LinearMixer out;
  out.rule = kRules[std::max(0, from.enumeration("rule") - 1)];
  out.heads = from.integer("heads", kSize);
  out.value_heads = from.integer_or("value_heads", out.heads, kSize);
  out.kv_heads = from.integer_or("kv_heads", 0, kSize);
  out.key_dim = from.integer("key_dim", kSize);
  out.value_dim = from.integer("value_dim", kSize);
  out.conv_kernel = from.integer_or("conv_kernel", 0, kKernel);
  out.silu = flag(from, "silu");
  out.decay_rank = from.integer_or("decay_rank", 0, kSize);
  out.gate = kind<OutputGate>(from, "gate");
  out.gate_rank = from.integer_or("gate_rank", 0, kSize);
  out.norm = kind<OutputNorm>(from, "norm");
  out.rotary = flag(from, "rotary");
  if (from.has("features")) out.features = kind<FeatureMap>(from, "features");
  out.projections = from.integer_or("projections", 0, kSize);
  out.normalised = flag(from, "normalised");
  out.chunk = from.integer("chunk", kSize);
  return out;
}

Rwkv7Mixer read_rwkv7(const MessageReader& from) {
  Rwkv7Mixer out;
  out.heads = from.integer("heads", kSize);
  out.head_dim = from.integer("head_dim", kSize);
  out.decay_rank = from.integer("decay_rank", kSize);
  out.rate_rank = from.integer("rate_rank", kSize);
  out.value_rank = from.integer_or("value_rank", 0, kSize);
  out.gate_rank = from.integer("gate_rank", kSize);
  return out;
}

Rwkv6Mixer read_rwkv6(const MessageReader& from) {
  Rwkv6Mixer out;
  out.heads = from.integer("heads", kSize);
  out.head_dim = from.integer("head_dim", kSize);
  out.mix_rank = from.integer("mix_rank", kSize);
  out.decay_rank = from.integer("decay_rank", kSize);
  return out;
}

Rwkv5Mixer read_rwkv5(const MessageReader& from) {
  return {from.integer("heads", kSize), from.integer("head_dim", kSize)};
}

S4Mixer read_s4(const MessageReader& from) { return {from.integer("states", kKernel), flag(from, "diagonal")}; }

DiagonalMixer read_diagonal(const MessageReader& from) {
  return {from.integer("states", kSize), flag(from, "half_gate")};
}

H3Mixer read_h3(const MessageReader& from) { return {from.integer("states", kKernel), from.integer("shift", kKernel)}; }

HyenaMixer read_hyena(const MessageReader& from) {
  return {from.integer("order", {2, 16}), from.integer("filter_width", kSize), from.integer("position_features", kSize),
          from.integer("short_kernel", kKernel)};
}

LstmMixer read_lstm(const MessageReader& from) { return {CellKind::lstm, from.integer("width", kSize), 1}; }
LstmMixer read_slstm(const MessageReader& from) {
  return {CellKind::slstm, from.integer("width", kSize), from.integer("heads", kSize)};
}

MinGruMixer read_min_gru(const MessageReader& from) { return {from.integer("width", kSize)}; }

Mamba3Mixer read_mamba3(const MessageReader& from) {
  return {from.integer("heads", kSize), from.integer("head_dim", kSize), from.integer("groups", kSize),
          from.integer("state", kSize), from.integer("chunk", kSize)};
}

RgLruMixer read_rg_lru(const MessageReader& from) {
  RgLruMixer out;
  out.width = from.integer("width", kSize);
  out.blocks = from.integer("blocks", kSize);
  out.conv_kernel = from.integer("conv_kernel", kKernel);
  return out;
}

ShortConvMixer read_short_conv(const MessageReader& from) {
  ShortConvMixer out;
  out.width = from.integer("width", kSize);
  out.conv_kernel = from.integer("conv_kernel", kKernel);
  out.input_gate = !from.has("input_gate") || from.boolean("input_gate");
  return out;
}

ChannelMix read_channel_mix(const MessageReader& from) {
  ChannelMix out;
  out.d_ff = from.integer("d_ff", kSize);
  out.receptance = flag(from, "receptance");
  return out;
}

ExpertLoad read_expert_load(const MessageReader& from) {
  ExpertLoad out;
  out.kind = kind<ExpertLoadKind>(from, "kind");
  if (!from.has("exponent")) return out;
  out.exponent = from.real("exponent", {0, true, 10});
  if (out.kind != ExpertLoadKind::zipf) from.fault("exponent", "belongs to ZIPF only");
  return out;
}

MoeMlp read_moe(const MessageReader& from) {
  MoeMlp out;
  out.experts = from.integer("experts", {1, 1u << 16});
  out.top_k = from.integer("top_k", kSize);
  out.d_ff = from.integer("d_ff", kSize);
  out.shared_d_ff = from.integer_or("shared_d_ff", 0, kSize);
  out.shared_gate = flag(from, "shared_gate");
  out.router_bias = flag(from, "router_bias");
  out.gated = from.boolean("gated");
  out.activation = kind<Activation>(from, "activation");
  out.bias = flag(from, "bias");
  out.latent = from.integer_or("latent", 0, kSize);
  if (from.has("load")) out.load = read_expert_load(from.child("load"));
  return out;
}

DenseMlp read_dense_mlp(const MessageReader& from) {
  DenseMlp out;
  out.gated = from.boolean("gated");
  out.d_ff = from.integer("d_ff", kSize);
  out.activation = kind<Activation>(from, "activation");
  out.bias = flag(from, "bias");
  out.adapter_rank = from.integer_or("adapter_rank", 0, kSize);
  out.own_projection = flag(from, "own_projection");
  return out;
}

// A member of a oneof: its field, and how it is read.
template <class Kind>
struct Member {
  const char* field;
  Kind (*read)(const MessageReader&);
};

// The member of the oneof that the file gives; the first one of the list stands for a missing one.
template <class Kind, std::size_t N>
Kind read_one_of(const MessageReader& from, const char* what, const Member<Kind> (&members)[N]) {
  std::string names;
  for (const Member<Kind>& member : members) {
    if (from.has(member.field)) return member.read(from.child(member.field));
    names += (names.empty() ? "" : ", ") + std::string(member.field);
  }
  from.fault(what, "is missing: one of " + names);
  return Kind{};
}

// The kinds of Mixer and of SingleMixer, which a part of `parallel` is.
template <class Any>
constexpr Member<Any> kSingleMixers[] = {
    {"attention", [](const MessageReader& m) -> Any { return read_attention(m); }},
    {"mla", [](const MessageReader& m) -> Any { return read_mla(m); }},
    {"mamba1", [](const MessageReader& m) -> Any { return read_mamba1(m); }},
    {"mamba2", [](const MessageReader& m) -> Any { return read_mamba2(m); }},
    {"linear", [](const MessageReader& m) -> Any { return read_linear(m); }},
    {"rwkv7", [](const MessageReader& m) -> Any { return read_rwkv7(m); }},
    {"rwkv6", [](const MessageReader& m) -> Any { return read_rwkv6(m); }},
    {"rwkv4", [](const MessageReader&) -> Any { return Rwkv4Mixer{}; }},
    {"rg_lru", [](const MessageReader& m) -> Any { return read_rg_lru(m); }},
    {"short_conv", [](const MessageReader& m) -> Any { return read_short_conv(m); }},
    {"rwkv5", [](const MessageReader& m) -> Any { return read_rwkv5(m); }},
    {"s4", [](const MessageReader& m) -> Any { return read_s4(m); }},
    {"diagonal", [](const MessageReader& m) -> Any { return read_diagonal(m); }},
    {"h3", [](const MessageReader& m) -> Any { return read_h3(m); }},
    {"hyena", [](const MessageReader& m) -> Any { return read_hyena(m); }},
    {"lstm", [](const MessageReader& m) -> Any { return read_lstm(m); }},
    {"slstm", [](const MessageReader& m) -> Any { return read_slstm(m); }},
    {"min_gru", [](const MessageReader& m) -> Any { return read_min_gru(m); }},
    {"mamba3", [](const MessageReader& m) -> Any { return read_mamba3(m); }},
};

Mixer read_mixer(const MessageReader& from) {
  if (!from.has("parallel")) return read_one_of(from, "mixer", kSingleMixers<Mixer>);
  ParallelMixer out;
  for (const MessageReader& part : from.child("parallel").children("part")) {
    out.parts.push_back(read_one_of(part, "mixer", kSingleMixers<SingleMixer>));
  }
  return out;
}

Mlp read_mlp(const MessageReader& from) {
  static constexpr Member<Mlp> kMembers[] = {
      {"dense_mlp", [](const MessageReader& m) -> Mlp { return read_dense_mlp(m); }},
      {"no_mlp", [](const MessageReader&) -> Mlp { return NoMlp{}; }},
      {"moe", [](const MessageReader& m) -> Mlp { return read_moe(m); }},
      {"channel_mix", [](const MessageReader& m) -> Mlp { return read_channel_mix(m); }},
  };
  return read_one_of(from, "mlp", kMembers);
}

// `counted_by_pattern`: the pattern says how many layers the block has.
Block read_block(const MessageReader& from, bool counted_by_pattern) {
  Block out;
  out.name = from.text("name");
  if (!counted_by_pattern) {
    out.layers = from.integer("layers", kLayers);
  } else if (from.has("layers")) {
    from.fault("layers", "must not be given beside the model's pattern, which counts the layers");
  }
  out.mixer = read_mixer(from);
  out.mlp = read_mlp(from);
  out.post_norms = flag(from, "post_norms");
  out.shared = flag(from, "shared");
  return out;
}

// The kind of each layer by the names of the pattern, which is repeated; counts the layers of each block.
void apply_pattern(const MessageReader& from, ModelSpec& model) {
  const std::uint64_t layers = from.integer("layers", kLayers);
  std::vector<std::string> names;
  for (const Block& block : model.blocks) names.push_back(block.name);
  std::vector<std::size_t> kinds;
  std::istringstream words(from.text("pattern"));
  for (std::string word; words >> word;) {
    const auto found = std::find(names.begin(), names.end(), word);
    if (found == names.end()) {
      from.fault("pattern", "\"" + word + "\" is not the name of a block" + suggestion_text(word, names));
    }
    kinds.push_back(static_cast<std::size_t>(found - names.begin()) % std::max<std::size_t>(1, names.size()));
  }
  if (kinds.empty() || model.blocks.empty()) return;
  for (std::uint64_t i = 0; i < layers; ++i) {
    model.pattern.push_back(kinds[i % kinds.size()]);
    ++model.blocks[model.pattern.back()].layers;
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (model.blocks[i].layers == 0) from.fault("pattern", "does not name the block \"" + names[i] + "\"");
  }
}

ModelSpec read_model(const MessageReader& from) {
  ModelSpec out;
  out.name = from.text("name");
  out.vocabulary = from.integer("vocabulary", kSize);
  out.d_model = from.integer("d_model", kSize);
  out.tied_embeddings = from.boolean("tied_embeddings");
  out.norm = kind<NormKind>(from, "norm");
  out.position = kind<PositionKind>(from, "position");
  out.embedding_norm = flag(from, "embedding_norm");
  out.max_positions = from.integer_or("max_positions", 0, {1, std::uint64_t{1} << 40});
  const bool patterned = from.has("pattern");
  for (const MessageReader& block : from.children("block")) out.blocks.push_back(read_block(block, patterned));
  if (patterned) apply_pattern(from, out);
  if (!patterned && from.has("layers")) from.fault("layers", "belongs to a pattern; a block counts its own layers");
  out.published_parameters = from.integer_or("published_parameters", 0, kAnyCount);
  out.source = from.text("source");
  return out;
}

}  // namespace

std::string find_model_base(const std::string& name, const FieldOrigin& where) {
  try {
    const std::string folder = std::filesystem::path(where.where().file).parent_path().string();
    return find_catalog_file("model", kModelCatalog, name, folder);
  } catch (const ConfigError& error) {
    if (where.where().file.empty()) throw;
    throw ConfigError({where.diagnostic("base", error.what())});
  }
}

std::unique_ptr<google::protobuf::Message> new_model_message() { return std::make_unique<proto::Model>(); }

ModelSpec to_model_spec(const google::protobuf::Message& message, const FieldLocations& locations) {
  LIGHTCONE_ASSERT(message.GetDescriptor() == proto::Model::descriptor());
  std::vector<Diagnostic> found;
  const MessageReader from(&message, locations, found);
  ModelSpec out = read_model(from);
  // Contradictions are looked for in complete models only: a missing field would show twice.
  if (found.empty()) {
    for (const SpecFault& fault : faults(out)) from.fault(fault.field, fault.message);
  }
  if (!found.empty()) throw ConfigError(std::move(found));
  return out;
}

ModelSpec load_model(const std::string& name_or_path) {
  proto::Model message;
  const std::string file = find_catalog_file("model", kModelCatalog, name_or_path);
  const FieldLocations locations = load_over_base(file, message, find_model_base);
  return to_model_spec(message, locations);
}

std::vector<std::string> list_models() { return catalog_names(kModelCatalog); }

}  // namespace lightcone::models
