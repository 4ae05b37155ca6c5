// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/dram_timing.h"

#include <bit>

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
    : bank_groups_(bank_groups),
      bank_bits_(static_cast<std::uint32_t>(std::countr_zero(banks_per_group))),
      first_bank_(kGroups + bank_groups),
      row_(first_bank_ + bank_groups * banks_per_group) {
  LIGHTCONE_ASSERT(std::has_single_bit(bank_groups) && bank_groups <= kMaxGroups);
  LIGHTCONE_ASSERT(std::has_single_bit(banks_per_group) && bank_groups * banks_per_group <= kMaxBanks);
  auto table = std::make_shared<std::array<After, kDramCommands>>();
  for (std::size_t from = 0; from < kDramCommands; ++from) {
    After& after = (*table)[from];
    std::vector<Delay> channel, group, bank;
    for (const TimingRule& rule : rules) {
      if (static_cast<std::size_t>(rule.from) != from) continue;
      const auto row = static_cast<std::uint32_t>(row_of(rule.to));
      if (rule.window > 1) {
        LIGHTCONE_ASSERT(rule.scope == RuleScope::channel);
        windows_.push_back({rule.from, rule.to, rule.distance, 0, std::vector<std::uint64_t>(rule.window, 0)});
        after.windows = true;
      } else if (rule.scope == RuleScope::same_bank) {
        bank.push_back({rule.distance, row + first_bank_});
      } else if (rule.scope == RuleScope::same_bank_group) {
        group.push_back({rule.distance, row + kGroups});
      } else if (rule.scope == RuleScope::channel || covered_in_own_group(rule, rules)) {
        channel.push_back({rule.distance, row});
      } else {
        after.other_groups.push_back({rule.distance, row + kGroups});
        after.others = true;
      }
    }
    sort(after, channel, group, bank);
  }
  after_ = std::move(table);
}

void DramTiming::sort(After& after, const std::vector<Delay>& channel, const std::vector<Delay>& group,
                      const std::vector<Delay>& bank) {
  after.channel_end = static_cast<std::uint32_t>(channel.size());
  after.group_end = after.channel_end + static_cast<std::uint32_t>(group.size());
  after.bank_end = after.group_end + static_cast<std::uint32_t>(bank.size());
  LIGHTCONE_ASSERT(after.bank_end <= after.delays.size());
  std::copy(channel.begin(), channel.end(), after.delays.begin());
  std::copy(group.begin(), group.end(), after.delays.begin() + after.channel_end);
  std::copy(bank.begin(), bank.end(), after.delays.begin() + after.group_end);
}

void DramTiming::pass_rare(const After& after, DramCommand command, std::uint32_t bank, std::uint64_t cycle) {
  for (const Delay& delay : after.other_groups) {
    for (std::uint32_t group = 0; group < bank_groups_; ++group) {
      std::uint64_t& ready = ready_[delay.base + group];
      if (group != bank >> bank_bits_) ready = std::max(ready, cycle + delay.distance);
    }
  }
  for (Window& window : windows_) {
    if (window.from == command) pass_window(window, cycle);
  }
}

void DramTiming::pass_window(Window& window, std::uint64_t cycle) {
  window.cycles[window.next] = cycle + 1;
  window.next = window.next + 1 == window.cycles.size() ? 0 : window.next + 1;
  const std::uint64_t oldest = window.cycles[window.next];
  if (oldest == 0) return;
  std::uint64_t& ready = ready_[row_of(window.to)];
  ready = std::max(ready, oldest - 1 + window.distance);
}

}  // namespace lightcone::hardware
