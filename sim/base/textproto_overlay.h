// SPDX-License-Identifier: Apache-2.0
// Composition of messages: a derived file over its base. What the overlay gives wins, the rest stays:
// scalars replace, nested messages are merged field by field, repeated messages that have a `name` field are merged
// element by element by that name (new names are appended), every other repeated field is replaced as a whole, and
// choosing another member of a oneof drops the former one. The locations follow the winning value.
// (Message::MergeFrom would append to every repeated field.)
#pragma once

#include <functional>
#include <string>

#include "sim/base/field_locations.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace lightcone {

// Both messages have the same type.
void overlay(google::protobuf::Message& base, FieldLocations& base_locations, const google::protobuf::Message& over,
             const FieldLocations& over_locations);

// The `name` field that keys the elements of a repeated message field; null when the field is not such a list.
const google::protobuf::FieldDescriptor* name_key(const google::protobuf::FieldDescriptor& list);

// Index of the element with that name, or -1 ... size - 1.
int find_by_name(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& list,
                 const std::string& name);

// Loads `file` and lays it over the file that its top-level `base` field names, over that one's base, and so on.
// `find_base(name, file that names it)` turns the name into a path; it may throw ConfigError. `base` is cleared in the
// result. Cycles are errors that show the chain.
using FindBase = std::function<std::string(const std::string& name, const FieldOrigin& where)>;
FieldLocations load_over_base(const std::string& file, google::protobuf::Message& message, const FindBase& find_base);

// Replaces `message`, which may name a base, by its overlay over that base. `locations` are those of `message`.
void resolve_base(google::protobuf::Message& message, FieldLocations& locations, const FindBase& find_base);

}  // namespace lightcone
