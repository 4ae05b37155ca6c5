// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/hbm_address.h"

#include <algorithm>
#include <bit>

#include "sim/base/error.h"

namespace lightcone::hardware {
namespace {

constexpr std::uint32_t kLineBits = 7;  // a line of the L2 cache: 128 bytes

std::uint32_t bits_of(std::uint64_t count) {
  LIGHTCONE_ASSERT(std::has_single_bit(count));
  return static_cast<std::uint32_t>(std::countr_zero(count));
}

}  // namespace

HbmAddressMap::HbmAddressMap(std::uint32_t channels, Bytes interleave)
    : channels_(channels), interleave_(interleave.count()) {
  LIGHTCONE_ASSERT(channels > 0 && interleave_ > 0);
}

HbmAddressMap::Place HbmAddressMap::place(std::uint64_t address) const {
  const std::uint64_t granule = address / interleave_;
  const std::uint64_t run = granule / channels_;
  const std::uint64_t turn = granule - run * channels_ + rotation(run);
  return {static_cast<std::uint32_t>(turn < channels_ ? turn : turn - channels_),
          run * interleave_ + (address - granule * interleave_)};
}

std::uint64_t HbmAddressMap::address(Place place) const {
  const std::uint64_t run = place.local / interleave_;
  const std::uint64_t position = (place.channel + channels_ - rotation(run)) % channels_;
  return (run * channels_ + position) * interleave_ + place.local % interleave_;
}

// The run number mixed by a multiplication with 2^64 / golden ratio and a fold, then scaled to [0, channels).
std::uint32_t HbmAddressMap::rotation(std::uint64_t run) const {
  std::uint64_t mixed = run * 0x9E3779B97F4A7C15ull;
  mixed ^= mixed >> 29;
  mixed *= 0xBF58476D1CE4E5B9ull;
  return static_cast<std::uint32_t>(((mixed >> 32) * channels_) >> 32);
}

HbmBankMap::HbmBankMap(const HbmSpec& spec)
    : burst_bits_(bits_of(spec.access.count())),
      group_bits_(bits_of(spec.bank_groups)),
      bank_bits_(bits_of(spec.banks_per_group)),
      line_bits_(std::max(burst_bits_, std::min(kLineBits, bits_of(spec.page.count())))),
      column_bits_(bits_of(spec.page.count()) - line_bits_) {}

}  // namespace lightcone::hardware
