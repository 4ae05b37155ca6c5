// SPDX-License-Identifier: Apache-2.0
// What a name or a file on the command line stands for: a model, a machine, a workload or a scenario.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/field_locations.h"

namespace lightcone::scenarios {

enum class EntryKind : std::uint8_t { model, machine, workload, scenario };
std::string_view name(EntryKind kind);

// By catalog name (models first, scenarios last), or, for a path, by the fields that stand at its top level.
// Throws ConfigError with suggestions from all catalogs.
EntryKind find_entry(const std::string& name_or_path);

// The kind of a file's text by its top-level fields; a text that has none of them is taken for a scenario, whose reader
// will say what is wrong.
EntryKind kind_of_text(std::string_view text);

// A model, machine or workload with its bases resolved and `sets` applied; the paths of `sets` may start with the kind
// ("machine.gpu.sm_count=100"), as they do in a scenario. Throws ConfigError.
struct LoadedPart {
  std::unique_ptr<google::protobuf::Message> message;
  FieldLocations locations;
};
LoadedPart load_part(EntryKind kind, const std::string& name_or_path, const std::vector<std::string>& sets);

}  // namespace lightcone::scenarios
