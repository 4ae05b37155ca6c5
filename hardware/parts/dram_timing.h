// SPDX-License-Identifier: Apache-2.0
// When a DRAM command may follow another one: the timing rules of a pseudo-channel as a table of rows (from, to, scope,
// distance, window) and one reader that keeps, per command, the earliest cycle at which it may be issued.
// Sources: JESD235D (HBM2), JESD238 (HBM3), and the rule rows of the Ramulator 2 HBM2/HBM3 models.
// Not modelled: stack ids (tCCD_R), tPPD, tRREFD (the refresh-to-activate gap between banks is taken as tRRD_S),
// power-down, and the command bus that two pseudo-channels of one channel share.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

enum class DramCommand : std::uint8_t { activate, precharge, precharge_all, read, write, refresh, refresh_bank };
inline constexpr std::size_t kDramCommands = 7;

// Which later commands a rule binds, seen from the bank of the earlier command.
enum class RuleScope : std::uint8_t { same_bank, same_bank_group, other_bank_group, channel };

// `to` may be issued no sooner than `distance` CK after the `window`-th last `from` (window 1: after the last one).
struct TimingRule {
  DramCommand from;
  DramCommand to;
  RuleScope scope;
  std::uint32_t distance;  // CK
  std::uint32_t window = 1;
};

// The rows that hold for one pseudo-channel with this timing.
std::vector<TimingRule> timing_rules(const HbmTiming& timing);

// The generic reader. Banks are numbered bank_group * banks_per_group + bank.
class DramTiming {
 public:
  static constexpr std::uint32_t kMaxBanks = 64;
  static constexpr std::uint32_t kMaxGroups = 16;

  DramTiming(const std::vector<TimingRule>& rules, std::uint32_t bank_groups, std::uint32_t banks_per_group);

  // First cycle at which `command` to `bank` breaks no rule. Commands to the whole channel take any bank.
  [[nodiscard]] std::uint64_t earliest(DramCommand command, std::uint32_t bank) const {
    const std::uint64_t* ready = ready_.data() + kRow * static_cast<std::size_t>(command);
    return std::max({ready[0], ready[kGroups + group_of_[bank]], ready[kBanks + bank]});
  }
  // The part of it that holds for every bank.
  [[nodiscard]] std::uint64_t earliest_in_channel(DramCommand command) const {
    return ready_[kRow * static_cast<std::size_t>(command)];
  }
  [[nodiscard]] bool ready(DramCommand command, std::uint32_t bank, std::uint64_t cycle) const {
    return cycle >= earliest(command, bank);
  }

  // Records that `command` went to `bank` at `cycle`. Cycles of one command kind must not go back.
  void issue(DramCommand command, std::uint32_t bank, std::uint64_t cycle);

  [[nodiscard]] std::uint32_t group_of(std::uint32_t bank) const { return group_of_[bank]; }

 private:
  // The earliest cycles lie in one array: a row per command, in it one for the channel, then one per bank group, then
  // one per bank.
  static constexpr std::size_t kGroups = 1;
  static constexpr std::size_t kBanks = kGroups + kMaxGroups;
  static constexpr std::size_t kRow = kBanks + kMaxBanks;
  // A rule over the last `window` commands of one kind: the cycles of those commands, oldest at `next`.
  struct Window {
    DramCommand to;
    std::uint32_t distance;
    std::uint32_t next = 0;
    std::vector<std::uint64_t> cycles;  // cycle + 1; 0: no such command yet
  };
  void pass_window(Window& window, std::uint64_t cycle);

  // What one command delays: the entry `base` + `per_bank` * bank + `per_group` * bank group.
  struct Delay {
    std::uint32_t distance;
    std::uint16_t base;
    std::uint8_t per_bank, per_group;
  };
  // Rules for the other bank groups that cannot be kept once for the channel, and windows, are rare and kept apart.
  struct After {
    std::array<Delay, 12> delays{};
    std::uint32_t count = 0;
    std::vector<Delay> other_groups;
    std::vector<Window> windows;
  };

  std::uint32_t bank_groups_;
  std::array<std::uint8_t, kMaxBanks> group_of_{};
  std::array<std::uint64_t, kRow * kDramCommands> ready_{};
  std::array<After, kDramCommands> after_;  // by the earlier command
};

inline void DramTiming::issue(DramCommand command, std::uint32_t bank, std::uint64_t cycle) {
  After& after = after_[static_cast<std::size_t>(command)];
  const std::uint32_t own = group_of_[bank];
  for (std::uint32_t i = 0; i < after.count; ++i) {
    const Delay& delay = after.delays[i];
    std::uint64_t& ready = ready_[delay.base + delay.per_bank * bank + delay.per_group * own];
    ready = std::max(ready, cycle + delay.distance);
  }
  for (const Delay& delay : after.other_groups) {
    for (std::uint32_t group = 0; group < bank_groups_; ++group) {
      std::uint64_t& ready = ready_[delay.base + group];
      if (group != own) ready = std::max(ready, cycle + delay.distance);
    }
  }
  for (Window& window : after.windows) pass_window(window, cycle);
}

}  // namespace lightcone::hardware
