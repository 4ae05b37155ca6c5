// SPDX-License-Identifier: Apache-2.0
// A model specification as the text of a model file (models/model.proto). Reading it back gives the same specification.
#pragma once

#include <string>

#include "models/model_spec.h"

namespace lightcone::models {

std::string to_textproto(const ModelSpec& model);

}  // namespace lightcone::models
