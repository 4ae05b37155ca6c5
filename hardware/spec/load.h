// SPDX-License-Identifier: Apache-2.0
// Machine files (hardware/machine.proto, catalog in hardware/catalog) to checked plain structs. All faults of a file
// are reported together, each at its line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hardware/spec/machine_spec.h"
#include "sim/base/field_locations.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace lightcone::hardware {

inline constexpr const char* kMachineCatalog = "hardware/catalog";

// A machine by catalog name (`h100_sxm`) or by path, with its chain of bases. Throws ConfigError with every fault.
MachineSpec load_machine(const std::string& name_or_path);

// The names in the catalog, sorted.
std::vector<std::string> list_machines();

// `message` is a lightcone.hardware.proto.Machine without `base`. Throws ConfigError with every fault.
// The source of each value is the nearest one that names it in the same file; a value that another file (or an option)
// has overridden carries that place as its source.
MachineSpec to_machine_spec(const google::protobuf::Message& message, const FieldLocations& locations);

// An empty Machine message, for callers that fill it by path.
std::unique_ptr<google::protobuf::Message> new_machine_message();

// Turns the `base` of a machine message into a file. Used with load_over_base and resolve_base.
std::string find_machine_base(const std::string& name, const FieldOrigin& where);

}  // namespace lightcone::hardware
