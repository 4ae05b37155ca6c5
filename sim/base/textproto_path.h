// SPDX-License-Identifier: Apache-2.0
// Access to any field of a message by its path: `machine.gpu.hbm.stacks`, `gpu.sm.tensor.rate[bf16].flops_per_clock`
// (an element of a repeated message by its name), `sweep.axis[0].path` (by its index). This is what `--set`, overrides
// and sweep axes use, through reflection: a field that is new in a schema can be overridden without code.
#pragma once

#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/field_locations.h"

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace lightcone {

// Sets the field to `value`, written as in a file (`8`, `true`, `WGMMA`, `[1, 2]`, `{ ... }`); text may go without
// quotes. A message value is laid over the present one; a list replaces the present one; an index equal to the list's
// size appends. A message with a `base` field takes a bare name as its base and drops everything else.
// Faults are appended with `origin` as their place. Returns whether the value was set.
bool set_by_path(google::protobuf::Message& message, FieldLocations& locations, const std::string& path,
                 const std::string& value, const FieldOrigin& origin, std::vector<Diagnostic>& faults);

// `path=value` from the command line. Throws ConfigError.
void apply_set(google::protobuf::Message& message, FieldLocations& locations, const std::string& assignment);

// `path=value` taken apart; the value may hold further `=`. Throws ConfigError when there is no `=`.
struct Assignment {
  std::string path;
  std::string value;
  FieldOrigin origin;  // "--set path=value"
};
Assignment parse_assignment(const std::string& text);

// The value in text format (strings without quotes); the empty string when the field is not set. Throws ConfigError
// for a path that the schema does not have.
std::string get_by_path(const google::protobuf::Message& message, const std::string& path);

// The path of every leaf of the schema, in order; elements of repeated messages as `axis[].path`.
std::vector<std::string> all_paths(const google::protobuf::Descriptor* type);

// What is wrong with a path, with the nearest right ones at that level and across the schema; empty for a right path.
std::string path_fault(const google::protobuf::Message& message, const std::string& path);

}  // namespace lightcone
