// SPDX-License-Identifier: Apache-2.0
// Workload files (workloads/workload.proto, catalog in workloads/catalog) to checked plain structs. All faults of a
// file are reported together, each at its line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/base/field_locations.h"
#include "workloads/plan_spec.h"
#include "workloads/workload_spec.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace lightcone::workloads {

inline constexpr const char* kWorkloadCatalog = "workloads/catalog";

// Bounds of what is accepted: beyond them a typing error is likelier than a wish.
inline constexpr std::uint64_t kMostBatch = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kMostTokensPerSequence = std::uint64_t{1} << 27;
inline constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 32;  // of the batch: sizes of tensors stay in 63 bits

// A workload by catalog name (`prefill_4k`) or by path, with its chain of bases. Throws ConfigError with every fault.
WorkloadSpec load_workload(const std::string& name_or_path);

// The names in the catalog, sorted.
std::vector<std::string> list_workloads();

// `message` is a lightcone.workloads.proto.Workload without `base`. Throws ConfigError with every fault.
WorkloadSpec to_workload_spec(const google::protobuf::Message& message, const FieldLocations& locations);

// `message` is a lightcone.workloads.proto.Plan. Throws ConfigError with every value out of its range; whether the plan
// is legal, plan_rules.h says.
PlanSpec to_plan_spec(const google::protobuf::Message& message, const FieldLocations& locations);

// An empty Workload message, for callers that fill it by path.
std::unique_ptr<google::protobuf::Message> new_workload_message();

// Turns the `base` of a workload message into a file. Used with load_over_base and resolve_base.
std::string find_workload_base(const std::string& name, const FieldOrigin& where);

}  // namespace lightcone::workloads
