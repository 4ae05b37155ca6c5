// SPDX-License-Identifier: Apache-2.0
// Where a byte lives: global address -> (pseudo-channel, channel-local address), and channel-local address -> (bank
// group, bank, row, column). GPU vendors do not publish their maps; these follow what is known of them: all channels in
// turn, scrambled so that power-of-two strides spread, and consecutive lines in different bank groups.
// Not modelled: the page tables in front of it.
#pragma once

#include <cstdint>

#include "hardware/spec/gpu_spec.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

// Bijective. Every run of `channels` consecutive granules of `interleave` bytes visits each pseudo-channel once,
// starting at one that depends on a hash of the run's number. Local addresses are dense: run * interleave + offset.
class HbmAddressMap {
 public:
  HbmAddressMap(std::uint32_t channels, Bytes interleave);

  struct Place {
    std::uint32_t channel;
    std::uint64_t local;  // bytes
    bool operator==(const Place&) const = default;
  };
  [[nodiscard]] Place place(std::uint64_t address) const;
  [[nodiscard]] std::uint64_t address(Place place) const;  // the inverse

 private:
  [[nodiscard]] std::uint32_t rotation(std::uint64_t run) const;

  std::uint64_t channels_;
  std::uint64_t interleave_;
};

struct BankPlace {
  std::uint32_t bank_group;
  std::uint32_t bank;  // within its group
  std::uint32_t row;
  std::uint32_t column;  // burst within the row
  bool operator==(const BankPlace&) const = default;
};

// Bits of a local address from the lowest: byte in line, bank group, line in row, bank, row. A line lies in one row, so
// a request needs one activation; consecutive lines lie in different bank groups. The bank is then rotated by the row
// and by a hash of its upper bits, and the bank group by both, so that streams a power of two apart do not keep meeting
// in one bank (the aim of permutation-based interleaving, Zhang et al., MICRO 2000). A rotation, not an XOR: a
// sequential stream comes back to a bank only after all others. Bijective. Bank groups, banks and lines per page must
// be powers of two.
class HbmBankMap {
 public:
  explicit HbmBankMap(const HbmSpec& spec);
  [[nodiscard]] BankPlace place(std::uint64_t local) const {
    const std::uint64_t line = local >> line_bits_;
    const std::uint64_t row = line >> (group_bits_ + column_bits_ + bank_bits_);
    const std::uint64_t spread = ((row >> 4) * 0x9E3779B97F4A7C15ull) >> 48;
    const std::uint64_t bank = (line >> (group_bits_ + column_bits_)) + row + spread;
    const std::uint64_t group = line + (row >> bank_bits_) + (spread >> 8) + bank;
    const std::uint64_t column = (line >> group_bits_ << line_bits_ | (local & mask(line_bits_))) >> burst_bits_;
    return {static_cast<std::uint32_t>(group & mask(group_bits_)), static_cast<std::uint32_t>(bank & mask(bank_bits_)),
            static_cast<std::uint32_t>(row),
            static_cast<std::uint32_t>(column & mask(column_bits_ + line_bits_ - burst_bits_))};
  }

 private:
  static std::uint64_t mask(std::uint32_t bits) { return (std::uint64_t{1} << bits) - 1; }
  std::uint32_t burst_bits_, group_bits_, bank_bits_;
  std::uint32_t line_bits_;    // of a byte in a line: 128 bytes, where a row is that large
  std::uint32_t column_bits_;  // of a line in its row
};

}  // namespace lightcone::hardware
