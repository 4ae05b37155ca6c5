// SPDX-License-Identifier: Apache-2.0
// Random samples that are the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lightcone::scenarios {

// `count` of the numbers 0 .. size-1, drawn without replacement, in rising order; the same on every machine.
std::vector<std::size_t> sample_indices(std::size_t size, std::size_t count, std::uint64_t seed);

}  // namespace lightcone::scenarios
