// SPDX-License-Identifier: Apache-2.0
// What is done with the fields of a configuration that no family reads: some change no cost and may be skipped, some
// say that the model is another than the one that would be written, the rest is unknown and is named to the user.
#pragma once

#include <string>
#include <vector>

#include "models/import/config_reader.h"

namespace lightcone::models {

struct UnreadFields {
  std::vector<std::string> harmless;  // known to change neither sizes nor cost
  std::vector<std::string> unknown;   // may or may not matter: the user has to look
};

// Sorts the fields that were not read. One that tells of a part which a model file cannot say (experts, quantised
// weights, cross attention, ...) is a fault of `from`, unless its value is neutral: null, false, 0, empty.
UnreadFields judge_unread_fields(ConfigReader& from);

}  // namespace lightcone::models
