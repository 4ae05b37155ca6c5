// SPDX-License-Identifier: Apache-2.0
// Results of collectives as bytes (Protobuf, message_result.proto): what passes through the pipe of a simulating child
// process, and what the kernel store and run folders keep. Equal results give equal bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sim/observe/message_result.h"

namespace lightcone {

std::string serialise(const MessageResult& result);

// nullopt when the bytes are not such a result of this schema.
std::optional<MessageResult> parse_message_result(std::string_view bytes);

}  // namespace lightcone
