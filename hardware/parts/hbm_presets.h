// SPDX-License-Identifier: Apache-2.0
// Published HBM timing sets as data rows, and the two ways to derive others: another data rate (nanoseconds kept) and
// another density (refresh time). Cycles are CK of the row's own tCK.
// Sources: the rows are those of the Ramulator 2 presets HBM2_2000Mbps, HBM3_6400Mbps and HBM4_8000Mbps, which cite
// JESD235D and JESD238; refresh times by density are the steps of the same standards. tFAW of HBM2 is vendor-specific.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

// How one burst of 32 bytes crosses the pins. HBM2: 64 pins x BL4 at 2 bits per CK and pin; HBM3 and HBM4: 32 pins x
// BL8 at 4 bits per CK and pin (CK is a quarter of the data rate). Either way a burst takes nBL = 2 CK.
inline constexpr double kHbm2BitsPerClock = 2;
inline constexpr double kHbm3BitsPerClock = 4;

struct HbmPreset {
  std::string_view name;
  double gigabits_per_second_per_pin;
  double bits_per_clock;  // per pin
  std::uint32_t pseudo_channel_bits;
  std::uint32_t bank_groups;
  std::uint32_t banks_per_group;
  HbmTiming timing;
};

inline constexpr std::array<HbmPreset, 3> kHbmPresets{{
    // 4 Gb per pseudo-channel (8 GB stack): nRFC 260 ns. nRTW = nCL + nBL + 2 - nCWL.
    {"jedec_hbm2_2.0",
     2.0,
     kHbm2BitsPerClock,
     64,
     4,
     4,
     {.tCK = Picoseconds(1000),
      .nBL = 2,
      .nCL = 14,
      .nCWL = 5,
      .nRCDRD = 14,
      .nRCDWR = 12,
      .nRP = 14,
      .nRAS = 34,
      .nRC = 48,
      .nWR = 16,
      .nRTP = 5,
      .nCCDS = 2,
      .nCCDL = 4,
      .nRRDS = 4,
      .nRRDL = 4,
      .nFAW = 15,
      .nWTRS = 6,
      .nWTRL = 8,
      .nRTW = 13,
      .nRFC = 260,
      .nREFI = 3900,
      .nRFCpb = 160,
      .nREFIpb = 243}},
    // 8 Gb per channel (16 GB stack): nRFC 350 ns.
    {"jedec_hbm3_6.4",
     6.4,
     kHbm3BitsPerClock,
     32,
     4,
     4,
     {.tCK = Picoseconds(625),
      .nBL = 2,
      .nCL = 20,
      .nCWL = 10,
      .nRCDRD = 31,
      .nRCDWR = 15,
      .nRP = 26,
      .nRAS = 45,
      .nRC = 72,
      .nWR = 33,
      .nRTP = 9,
      .nCCDS = 2,
      .nCCDL = 4,
      .nRRDS = 4,
      .nRRDL = 5,
      .nFAW = 24,
      .nWTRS = 7,
      .nWTRL = 10,
      .nRTW = 20,
      .nRFC = 560,
      .nREFI = 6240,
      .nRFCpb = 320,
      .nREFIpb = 390}},
    // 8 Gb per channel: nRFC 450 ns. Provisional: the preset is the only public source found.
    {"jedec_hbm4_8.0",
     8.0,
     kHbm3BitsPerClock,
     32,
     2,
     8,
     {.tCK = Picoseconds(500),
      .nBL = 2,
      .nCL = 20,
      .nCWL = 10,
      .nRCDRD = 39,
      .nRCDWR = 19,
      .nRP = 33,
      .nRAS = 57,
      .nRC = 90,
      .nWR = 42,
      .nRTP = 12,
      .nCCDS = 2,
      .nCCDL = 4,
      .nRRDS = 5,
      .nRRDL = 7,
      .nFAW = 30,
      .nWTRS = 9,
      .nWTRL = 13,
      .nRTW = 25,
      .nRFC = 900,
      .nREFI = 7800,
      .nRFCpb = 560,
      .nREFIpb = 487}},
}};
inline constexpr const HbmPreset& kHbm2Preset = kHbmPresets[0];
inline constexpr const HbmPreset& kHbm3Preset = kHbmPresets[1];
inline constexpr const HbmPreset& kHbm4Preset = kHbmPresets[2];

inline const HbmPreset* find_hbm_preset(std::string_view name) {
  for (const HbmPreset& preset : kHbmPresets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

// The same part at another data rate: every analogue delay keeps its nanoseconds and is rounded up to whole CK (with
// the standards' 1 % allowance for a rounded tCK), refresh intervals are rounded down. nBL, nCCDS and nCCDL are defined
// in CK and stay. tCK is rounded to whole picoseconds: take time from `memory_clock`, never by summing tCK.
inline HbmTiming scaled(const HbmTiming& from, double gigabits_per_second_per_pin, double bits_per_clock) {
  const double tck_ps = bits_per_clock / gigabits_per_second_per_pin * 1e3;
  const double ratio = from.tCK.real() / tck_ps;
  const auto up = [ratio](std::uint32_t n) { return static_cast<std::uint32_t>(std::ceil(n * ratio - 0.01)); };
  const auto down = [ratio](std::uint32_t n) { return static_cast<std::uint32_t>(n * ratio + 0.01); };
  HbmTiming to = from;
  to.tCK = Picoseconds(static_cast<std::uint64_t>(tck_ps + 0.5));
  for (std::uint32_t HbmTiming::*field :
       {&HbmTiming::nCL, &HbmTiming::nCWL, &HbmTiming::nRCDRD, &HbmTiming::nRCDWR, &HbmTiming::nRP, &HbmTiming::nRAS,
        &HbmTiming::nRC, &HbmTiming::nWR, &HbmTiming::nRTP, &HbmTiming::nRRDS, &HbmTiming::nRRDL, &HbmTiming::nFAW,
        &HbmTiming::nWTRS, &HbmTiming::nWTRL, &HbmTiming::nRTW, &HbmTiming::nRFC, &HbmTiming::nRFCpb}) {
    to.*field = up(from.*field);
  }
  to.nRC = std::max(to.nRC, to.nRAS + to.nRP);
  to.nREFI = down(from.nREFI);
  to.nREFIpb = down(from.nREFIpb);
  return to;
}

// All-bank refresh time by density. HBM2 counts the gigabits of a pseudo-channel, HBM3 those of a channel.
struct RefreshTime {
  double up_to_gigabits;
  double nanoseconds;
};
inline constexpr std::array<RefreshTime, 5> kHbm2RefreshTimes{{{1, 110}, {2, 160}, {4, 260}, {8, 350}, {1e9, 450}}};
inline constexpr std::array<RefreshTime, 4> kHbm3RefreshTimes{{{4, 260}, {8, 350}, {16, 450}, {1e9, 550}}};

template <std::size_t N>
HbmTiming with_density(HbmTiming timing, const std::array<RefreshTime, N>& table, double gigabits) {
  for (const RefreshTime& row : table) {
    if (gigabits > row.up_to_gigabits) continue;
    timing.nRFC = static_cast<std::uint32_t>(std::ceil(row.nanoseconds * 1e3 / timing.tCK.real() - 0.01));
    break;
  }
  return timing;
}

// The exact CK frequency of a memory: bytes per second of a pseudo-channel over bytes per CK (access / nBL).
inline Hertz memory_clock(const HbmSpec& spec) {
  const double bytes_per_second = spec.pseudo_channel_bits / 8.0 * spec.gigabits_per_second_per_pin * 1e9;
  return Hertz(bytes_per_second * spec.timing.nBL / spec.access.real());
}

// Sets everything in `spec` that the preset fixes; stacks, channels, queue and latency are the caller's.
inline void apply(const HbmPreset& preset, HbmSpec& spec) {
  spec.gigabits_per_second_per_pin = preset.gigabits_per_second_per_pin;
  spec.pseudo_channel_bits = preset.pseudo_channel_bits;
  spec.bank_groups = preset.bank_groups;
  spec.banks_per_group = preset.banks_per_group;
  spec.timing = preset.timing;
}

}  // namespace lightcone::hardware
