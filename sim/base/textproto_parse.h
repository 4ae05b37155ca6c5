// SPDX-License-Identifier: Apache-2.0
// Protobuf text format into a message of any schema, for people: every fault of the file is reported at once, at the
// token that is wrong, with the allowed names. Own recursive-descent reader on protobuf's tokenizer, because the stock
// TextFormat parser stops at the first fault, points behind it, and takes enum numbers that have no name.
// Stricter than TextFormat on purpose: no enum numbers, no `*_UNSPECIFIED`, no infinities; strings are UTF-8.
// Not supported: extensions, Any, groups.
#pragma once

#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/field_locations.h"
#include "sim/base/source_text.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace lightcone {

inline constexpr std::size_t kMostFaults = 20;  // reading stops there: the rest is seldom worth reading

// Fills `message` (cleared first) and returns where each field was written. Faults are appended to `faults`; the fields
// without fault are kept, so that a caller can go on checking them.
FieldLocations parse_textproto(const SourcePtr& source, google::protobuf::Message& message,
                               std::vector<Diagnostic>& faults);
// The same; throws ConfigError with all faults.
FieldLocations parse_textproto(const SourcePtr& source, google::protobuf::Message& message);
FieldLocations load_textproto(const std::string& path, google::protobuf::Message& message);

// Reads the value of one field of `message` from `source` (a scalar, `{ ... }`, or a list in brackets for a repeated
// field). A repeated field is appended to. Locations are recorded below `path`.
void parse_textproto_value(const SourcePtr& source, google::protobuf::Message& message,
                           const google::protobuf::FieldDescriptor& field, const std::string& path,
                           FieldLocations& locations, std::vector<Diagnostic>& faults);

}  // namespace lightcone
