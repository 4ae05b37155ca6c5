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
#include <memory>
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

// The generic reader. Banks are numbered bank_group * banks_per_group + bank. Copies share the table.
class DramTiming {
 public:
  static constexpr std::uint32_t kMaxBanks = 64;
  static constexpr std::uint32_t kMaxGroups = 16;

  DramTiming(const std::vector<TimingRule>& rules, std::uint32_t bank_groups, std::uint32_t banks_per_group);

  // First cycle at which `command` to `bank` breaks no rule. Commands to the whole channel take any bank.
  [[nodiscard]] std::uint64_t earliest(DramCommand command, std::uint32_t bank) const {
    return std::max(earliest_in_channel(command), earliest_in_bank(command, bank));
  }
  // The part of it that holds for every bank, and the part of the bank and its group.
  [[nodiscard]] std::uint64_t earliest_in_channel(DramCommand command) const { return ready_[row_of(command)]; }
  [[nodiscard]] std::uint64_t earliest_in_bank(DramCommand command, std::uint32_t bank) const {
    const std::uint64_t* ready = ready_.data() + row_of(command);
    return std::max(ready[kGroups + (bank >> bank_bits_)], ready[first_bank_ + bank]);
  }
  [[nodiscard]] bool ready(DramCommand command, std::uint32_t bank, std::uint64_t cycle) const {
    return cycle >= earliest(command, bank);
  }

  // Records that `command` went to `bank` at `cycle`. Cycles of a command kind with a window must not go back.
  void issue(DramCommand command, std::uint32_t bank, std::uint64_t cycle);

 private:
  // The earliest cycles lie in one array: a row per command, in it one for the channel, then one per bank group, then
  // one per bank.
  static constexpr std::uint32_t kGroups = 1;
  // A rule over the last `window` commands of one kind: the cycles of those commands, oldest at `next`.
  struct Window {
    DramCommand from, to;
    std::uint32_t distance;
    std::uint32_t next = 0;
    std::vector<std::uint64_t> cycles;  // cycle + 1; 0: no such command yet
  };
  void pass_window(Window& window, std::uint64_t cycle);

  // What one command delays, the entries for the channel first, then those for its bank group, then those for its bank.
  // Rules for the other bank groups that cannot be kept once for the channel are rare and kept apart.
  struct Delay {
    std::uint32_t distance;
    std::uint32_t base;  // of the entry, to which the number of the bank group or bank is added
  };
  struct After {
    std::uint32_t channel_end = 0, group_end = 0, bank_end = 0;
    bool others = false, windows = false;
    std::array<Delay, 12> delays{};
    std::vector<Delay> other_groups;
  };
  static void sort(After& after, const std::vector<Delay>& channel, const std::vector<Delay>& group,
                   const std::vector<Delay>& bank);
  [[nodiscard]] std::size_t row_of(DramCommand command) const { return row_ * static_cast<std::size_t>(command); }
  void pass_rare(const After& after, DramCommand command, std::uint32_t bank, std::uint64_t cycle);

  std::uint32_t bank_groups_;
  std::uint32_t bank_bits_;  // of a bank's number within its group
  std::uint32_t first_bank_, row_;
  std::uint64_t banks_of_a_group_;                                                         // one bit each
  std::uint64_t first_group_banks_;                                                        // one bit each
  std::shared_ptr<const std::array<After, kDramCommands>> after_;                          // by the earlier command
  std::array<std::uint64_t, (kGroups + kMaxGroups + kMaxBanks) * kDramCommands> ready_{};  // used up to row_ * commands
  std::vector<Window> windows_;
};

inline void DramTiming::issue(DramCommand command, std::uint32_t bank, std::uint64_t cycle) {
  const After& after = (*after_)[static_cast<std::size_t>(command)];
  const std::uint32_t group = bank >> bank_bits_;
  const auto delay = [&](std::uint32_t i, std::uint32_t place) {
    std::uint64_t& ready = ready_[after.delays[i].base + place];
    ready = std::max(ready, cycle + after.delays[i].distance);
  };
  std::uint32_t i = 0;
  for (; i < after.channel_end; ++i) delay(i, 0);
  for (; i < after.group_end; ++i) delay(i, group);
  for (; i < after.bank_end; ++i) delay(i, bank);
  if (after.others || after.windows) pass_rare(after, command, bank, cycle);
}

}  // namespace lightcone::hardware
