// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/dram_timing.h"

#include "sim/base/error.h"

namespace lightcone::hardware {

std::vector<TimingRule> timing_rules(const HbmTiming& t) {
  using enum DramCommand;
  using enum RuleScope;
  const std::uint32_t write_data = t.nCWL + t.nBL;  // write command to the end of its data
  return {
      // The data bus and the column path. A bank group needs nCCDL between its own bursts, so full rate takes two
      // groups.
      {read, read, other_bank_group, std::max(t.nCCDS, t.nBL)},
      {read, read, same_bank_group, std::max(t.nCCDL, t.nBL)},
      {write, write, other_bank_group, std::max(t.nCCDS, t.nBL)},
      {write, write, same_bank_group, std::max(t.nCCDL, t.nBL)},
      {read, write, channel, t.nRTW},
      {write, read, other_bank_group, write_data + t.nWTRS},
      {write, read, same_bank_group, write_data + t.nWTRL},
      // Opening and closing a row.
      {activate, read, same_bank, t.nRCDRD},
      {activate, write, same_bank, t.nRCDWR},
      {activate, precharge, same_bank, t.nRAS},
      {activate, activate, same_bank, t.nRC},
      {read, precharge, same_bank, t.nRTP},
      {write, precharge, same_bank, write_data + t.nWR},
      {precharge, activate, same_bank, t.nRP},
      {activate, activate, other_bank_group, t.nRRDS},
      {activate, activate, same_bank_group, t.nRRDL},
      {activate, activate, channel, t.nFAW, 4},
      // One row command per cycle on the row bus.
      {activate, precharge, channel, 1},
      {precharge, precharge, channel, 1},
      {precharge, activate, channel, 1},
      // All-bank refresh: every row closed first, every bank busy until it ends.
      {activate, precharge_all, channel, t.nRAS},
      {read, precharge_all, channel, t.nRTP},
      {write, precharge_all, channel, write_data + t.nWR},
      {precharge_all, activate, channel, t.nRP},
      {precharge, refresh, channel, t.nRP},
      {precharge_all, refresh, channel, t.nRP},
      {refresh, refresh, channel, t.nRFC},
      {refresh, activate, channel, t.nRFC},
      // Per-bank refresh: takes an activate slot and occupies its own bank only.
      {activate, refresh_bank, same_bank, t.nRC},
      {precharge, refresh_bank, same_bank, t.nRP},
      {activate, refresh_bank, channel, t.nRRDS},
      {refresh_bank, activate, channel, t.nRRDS},
      {refresh_bank, activate, same_bank, t.nRFCpb},
      {refresh_bank, refresh_bank, same_bank, t.nRFCpb},
      {refresh_bank, refresh_bank, channel, t.nRRDS},
  };
}

namespace {

// Whether the own bank group has to wait at least as long anyway, so that the rule may be kept once for the channel.
bool covered_in_own_group(const TimingRule& other, const std::vector<TimingRule>& rules) {
  return std::any_of(rules.begin(), rules.end(), [&](const TimingRule& rule) {
    return rule.from == other.from && rule.to == other.to && rule.window == 1 &&
           rule.scope == RuleScope::same_bank_group && rule.distance >= other.distance;
  });
}

}  // namespace

DramTiming::DramTiming(const std::vector<TimingRule>& rules, std::uint32_t bank_groups, std::uint32_t banks_per_group)
    : bank_groups_(bank_groups) {
  LIGHTCONE_ASSERT(bank_groups > 0 && bank_groups <= kMaxGroups);
  LIGHTCONE_ASSERT(banks_per_group > 0 && bank_groups * banks_per_group <= kMaxBanks);
  for (std::uint32_t bank = 0; bank < bank_groups * banks_per_group; ++bank) {
    group_of_[bank] = static_cast<std::uint8_t>(bank / banks_per_group);
  }
  for (const TimingRule& rule : rules) {
    After& after = after_[static_cast<std::size_t>(rule.from)];
    const std::size_t row = kRow * static_cast<std::size_t>(rule.to);
    const auto delay = [&](std::size_t column, std::uint8_t per_bank, std::uint8_t per_group) {
      return Delay{rule.distance, static_cast<std::uint16_t>(row + column), per_bank, per_group};
    };
    const auto add = [&after](const Delay& kept) {
      LIGHTCONE_ASSERT(after.count < after.delays.size());
      after.delays[after.count++] = kept;
    };
    if (rule.window > 1) {
      LIGHTCONE_ASSERT(rule.scope == RuleScope::channel);
      after.windows.push_back({rule.to, rule.distance, 0, std::vector<std::uint64_t>(rule.window, 0)});
    } else if (rule.scope == RuleScope::same_bank) {
      add(delay(kBanks, 1, 0));
    } else if (rule.scope == RuleScope::same_bank_group) {
      add(delay(kGroups, 0, 1));
    } else if (rule.scope == RuleScope::channel || covered_in_own_group(rule, rules)) {
      add(delay(0, 0, 0));
    } else {
      after.other_groups.push_back(delay(kGroups, 0, 0));
    }
  }
}

void DramTiming::pass_window(Window& window, std::uint64_t cycle) {
  window.cycles[window.next] = cycle + 1;
  window.next = (window.next + 1) % static_cast<std::uint32_t>(window.cycles.size());
  const std::uint64_t oldest = window.cycles[window.next];
  if (oldest == 0) return;
  std::uint64_t& ready = ready_[kRow * static_cast<std::size_t>(window.to)];
  ready = std::max(ready, oldest - 1 + window.distance);
}

}  // namespace lightcone::hardware
