// SPDX-License-Identifier: Apache-2.0
// Into how many parts the keys of a tile are split, so that few tiles still fill the GPU.
#pragma once

#include <cstdint>

namespace lightcone::scenarios {

// `any`: every number of parts, none for up to four key blocks (FlashAttention-3). `even`: only those that shorten the
// longest part (FlashAttention-2).
enum class SplitRule : std::uint8_t { any, even };

// Smallest split of the keys within 85 % of the best wave efficiency; 1 when the tiles alone fill 80 % of the slots.
std::uint32_t split_heuristic(std::uint64_t tiles, std::uint64_t slots, std::uint64_t key_blocks, SplitRule rule);

}  // namespace lightcone::scenarios
