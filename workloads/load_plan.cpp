// SPDX-License-Identifier: Apache-2.0
#include "sim/base/message_reader.h"
#include "workloads/load.h"

namespace lightcone::workloads {

namespace {

constexpr std::uint64_t kMostRanks = std::uint64_t{1} << 20;

std::uint32_t ranks(const MessageReader& from, const char* field) {
  return static_cast<std::uint32_t>(from.integer_or(field, 1, {1, kMostRanks}));
}

template <class Enum>
Enum choice(const MessageReader& from, const char* field, Enum missing) {
  const int value = from.has(field) ? from.enumeration(field) : 0;
  return value == 0 ? missing : static_cast<Enum>(value - 1);
}

}  // namespace

PlanSpec to_plan_spec(const google::protobuf::Message& message, const FieldLocations& locations) {
  std::vector<Diagnostic> faults;
  const MessageReader from(&message, locations, faults);
  PlanSpec out;
  out.tensor = ranks(from, "tensor");
  out.sequence_parallel = from.has("sequence_parallel") && from.boolean("sequence_parallel");
  out.context = ranks(from, "context");
  out.context_scheme = choice(from, "context_scheme", out.context_scheme);
  out.data = ranks(from, "data");
  out.zero = static_cast<std::uint32_t>(from.integer_or("zero", 0, {0, 3}));
  out.pipeline = ranks(from, "pipeline");
  out.schedule = choice(from, "schedule", out.schedule);
  out.chunks = ranks(from, "chunks");
  out.expert = ranks(from, "expert");
  out.automatic = from.has("auto") && from.boolean("auto");
  if (!faults.empty()) throw ConfigError(std::move(faults));
  return out;
}

}  // namespace lightcone::workloads
