// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/mla_schedule.h"

#include <algorithm>

#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

constexpr std::uint64_t kOverheadBlocks = 5;  // fixed_overhead_num_blocks

// Which sequences came out whole is known at the end; then the others get slots for their pieces.
void assign_slots(Deal& deal, std::uint64_t sequences) {
  deal.pieces.assign(sequences, 0);
  deal.first_slot.assign(sequences, 0);
  for (const auto& part : deal.parts) {
    for (const DealtPiece& piece : part) ++deal.pieces[piece.sequence];
  }
  std::vector<std::uint64_t> next(sequences);
  for (std::uint64_t s = 0; s < sequences; ++s) {
    deal.first_slot[s] = next[s] = deal.slots;
    if (deal.pieces[s] > 1) deal.slots += deal.pieces[s];
  }
  for (auto& part : deal.parts) {
    for (DealtPiece& piece : part) {
      piece.whole = deal.pieces[piece.sequence] == 1;
      if (!piece.whole) piece.slot = next[piece.sequence]++;
    }
  }
}

}  // namespace

std::uint64_t Deal::rounds() const {
  std::size_t most = 0;
  for (const auto& part : parts) most = std::max(most, part.size());
  return most;
}

Deal deal_key_blocks(std::uint64_t sequences, std::uint64_t blocks, std::uint64_t parts) {
  const std::uint64_t all = sequences * (blocks + kOverheadBlocks);
  const std::uint64_t load = ceil_div(all, parts) + kOverheadBlocks;
  Deal deal;
  deal.parts.resize(parts);
  std::uint64_t sequence = 0, block = 0;
  for (auto& part : deal.parts) {
    for (std::uint64_t left = load; sequence < sequences;) {
      const std::uint64_t rest = blocks - block;
      if (left >= rest + kOverheadBlocks) {
        part.push_back({sequence++, block, rest});
        left -= rest + kOverheadBlocks;
        block = 0;
        continue;
      }
      if (left > kOverheadBlocks) {
        part.push_back({sequence, block, left - kOverheadBlocks});
        block += left - kOverheadBlocks;
      }
      break;
    }
  }
  assign_slots(deal, sequences);
  return deal;
}

}  // namespace lightcone::scenarios
