// SPDX-License-Identifier: Apache-2.0
// The tile scheduler of FlashMLA (deepseek-ai/FlashMLA, get_mla_metadata): one warp deals the key blocks of all
// sequences, in order, to as many parts as CTAs fit the GPU; each part takes an equal load, where every sequence that
// it touches counts for a few blocks more. A part may end within a sequence, whose pieces are merged afterwards.
#pragma once

#include <cstdint>
#include <vector>

namespace lightcone::scenarios {

// Consecutive key blocks of one sequence, worked by one part.
struct DealtPiece {
  std::uint64_t sequence = 0, first_block = 0, blocks = 0;
  bool whole = true;       // the only piece of its sequence
  std::uint64_t slot = 0;  // of its partial result, counted over all sequences; not used when whole
};

struct Deal {
  std::vector<std::vector<DealtPiece>> parts;
  std::uint64_t slots = 0;                     // partial results in all
  std::vector<std::uint64_t> first_slot;       // of each sequence
  std::vector<std::uint64_t> pieces;           // of each sequence
  [[nodiscard]] std::uint64_t rounds() const;  // pieces of the part that has most
};

// Sequences of equal length. Sizes are at least 1.
Deal deal_key_blocks(std::uint64_t sequences, std::uint64_t blocks, std::uint64_t parts);

}  // namespace lightcone::scenarios
