// SPDX-License-Identifier: Apache-2.0
// Model files (models/model.proto, catalog in models/zoo) to checked plain structs. All faults of a file are reported
// together, each at its line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/model_spec.h"
#include "sim/base/field_locations.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace lightcone::models {

inline constexpr const char* kModelCatalog = "models/zoo";

// A model by catalog name (`llama3_8b`) or by path, with its chain of bases. Throws ConfigError with every fault.
ModelSpec load_model(const std::string& name_or_path);

// The names in the catalog, sorted.
std::vector<std::string> list_models();

// `message` is a lightcone.models.proto.Model without `base`. Throws ConfigError with every fault.
ModelSpec to_model_spec(const google::protobuf::Message& message, const FieldLocations& locations);

// An empty Model message, for callers that fill it by path.
std::unique_ptr<google::protobuf::Message> new_model_message();

// Turns the `base` of a model message into a file. Used with load_over_base and resolve_base.
std::string find_model_base(const std::string& name, const FieldOrigin& where);

}  // namespace lightcone::models
