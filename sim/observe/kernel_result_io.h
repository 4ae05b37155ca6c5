// SPDX-License-Identifier: Apache-2.0
// Kernel results as bytes (Protobuf, kernel_result.proto): what passes through the pipe of a simulating child process
// and what the kernel store keeps. Equal results give equal bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sim/observe/kernel_result.h"

namespace lightcone {

std::string serialise(const KernelResult& result);

// nullopt when the bytes are not a kernel result of this schema.
std::optional<KernelResult> parse_kernel_result(std::string_view bytes);

}  // namespace lightcone
