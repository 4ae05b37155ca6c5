// SPDX-License-Identifier: Apache-2.0
#include "models/load.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "models/model.pb.h"
#include "sim/base/message_reader.h"
#include "sim/base/resources.h"
#include "sim/base/textproto_overlay.h"

namespace lightcone::models {
namespace {

constexpr IntegerBounds kSize{1, 1u << 30};
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
  return out;
}

DenseMlp read_dense_mlp(const MessageReader& from) {
  DenseMlp out;
  out.gated = from.boolean("gated");
  out.d_ff = from.integer("d_ff", kSize);
  out.activation = kind<Activation>(from, "activation");
  out.bias = flag(from, "bias");
  return out;
}

// The mixer and the MLP are chosen by the member of the oneof that the file gives.
Block read_block(const MessageReader& from) {
  Block out;
  out.name = from.text("name");
  out.layers = from.integer("layers", {1, 1u << 20});
  out.mixer = read_attention(from.child("attention"));
  out.mlp = read_dense_mlp(from.child("dense_mlp"));
  return out;
}

ModelSpec read_model(const MessageReader& from) {
  ModelSpec out;
  out.name = from.text("name");
  out.vocabulary = from.integer("vocabulary", kSize);
  out.d_model = from.integer("d_model", kSize);
  out.tied_embeddings = from.boolean("tied_embeddings");
  out.norm = kind<NormKind>(from, "norm");
  out.position = kind<PositionKind>(from, "position");
  out.max_positions = from.integer_or("max_positions", 0, {1, std::uint64_t{1} << 40});
  for (const MessageReader& block : from.children("block")) out.blocks.push_back(read_block(block));
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
