// SPDX-License-Identifier: Apache-2.0
// The fabric of a machine file to checked plain numbers.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hardware/spec/fabric_spec.h"
#include "sim/base/message_reader.h"
#include "sim/base/suggest.h"

namespace lightcone::hardware {

// Index of the kind that `field` names; a fault and nothing when there is none of that name.
template <class Kind>
std::optional<std::uint32_t> index_of(const MessageReader& from, const std::string& field,
                                      const std::vector<Kind>& kinds) {
  const std::string name = from.text(field);
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i].name == name) return i;
    names.push_back(kinds[i].name);
  }
  if (!name.empty()) from.fault(field, fmt::format("\"{}\" is not described{}", name, suggestion_text(name, names)));
  return std::nullopt;
}

// `from`: a lightcone.hardware.proto.Fabric. Faults go to the reader: values out of range, unknown names, more links
// than a switch has ports, dimensions that do not give the size, a link budget that does not close.
FabricSpec read_fabric(const MessageReader& from);

// Faults of the levels: names, shapes, ports (load_levels.cpp).
std::vector<LevelSpec> read_levels(const MessageReader& from, const FabricSpec& kinds);

}  // namespace lightcone::hardware
