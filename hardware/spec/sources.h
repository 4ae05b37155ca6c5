// SPDX-License-Identifier: Apache-2.0
// Which citation belongs to which parameter of a machine file: every message may hold `source { name text }` entries
// for its own fields.
#pragma once

#include <vector>

#include "hardware/spec/gpu_spec.h"
#include "sim/base/field_locations.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace lightcone::hardware {

// One entry per numeric leaf that is set in `message`, in schema order, paths relative to it. A leaf without a citation
// gets "no source given"; one that was overridden in another file than its citation gets "set in file:line".
std::vector<ParameterSource> parameter_sources(const google::protobuf::Message& message,
                                               const FieldLocations& locations);

inline constexpr const char* kNoSource = "no source given";

}  // namespace lightcone::hardware
