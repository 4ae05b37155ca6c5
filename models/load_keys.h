// SPDX-License-Identifier: Apache-2.0
// Reads which keys an attention layer sees: one member of the schema's oneof, each field within its bounds.
#pragma once

#include "models/blocks.h"
#include "sim/base/message_reader.h"

namespace lightcone::models {

KeyChoice read_key_choice(const MessageReader& from);

}  // namespace lightcone::models
