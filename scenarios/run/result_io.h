// SPDX-License-Identifier: Apache-2.0
// Run results as bytes (Protobuf, result.proto), both ways.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "scenarios/run/run_result.h"

namespace lightcone::scenarios {

std::string serialise(const RunResult& result);

// nullopt when the bytes are not a run result of this schema.
std::optional<RunResult> parse_run_result(std::string_view bytes);

}  // namespace lightcone::scenarios
