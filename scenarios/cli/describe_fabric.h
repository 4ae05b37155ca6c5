// SPDX-License-Identifier: Apache-2.0
// What `describe` says of the links between the GPUs of a machine.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "hardware/spec/fabric_spec.h"

namespace lightcone::scenarios {

// Takes a figure: its key and value for JSON, and the line that people read (title, tab, text).
using AddFigure = std::function<void(std::string key, nlohmann::ordered_json value, std::string line)>;

void describe_fabric(const hardware::FabricSpec& fabric, const AddFigure& add);

}  // namespace lightcone::scenarios
