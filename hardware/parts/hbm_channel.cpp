// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/hbm_channel.h"

#include <bit>

#include "sim/base/error.h"

namespace lightcone::hardware {
namespace {

constexpr std::uint32_t kLargestRequest = 128;  // bytes

std::uint64_t bit(std::uint32_t bank) { return std::uint64_t{1} << bank; }
std::uint32_t take_lowest(std::uint64_t& banks) {
  const auto bank = static_cast<std::uint32_t>(std::countr_zero(banks));
  banks &= banks - 1;
  return bank;
}
// Rules between bursts of one direction are kept by the bus slots, those within a bank group by the table as well.
bool kept_by_slots(const TimingRule& rule) {
  return rule.from == rule.to && rule.scope == RuleScope::other_bank_group &&
         (rule.from == DramCommand::read || rule.from == DramCommand::write);
}

std::vector<TimingRule> rules_between_requests(const HbmTiming& timing) {
  std::vector<TimingRule> rules = timing_rules(timing);
  std::erase_if(rules, kept_by_slots);
  return rules;
}

std::uint32_t burst_distance(const HbmTiming& timing, RuleScope scope) {
  std::uint32_t distance = 0;
  for (const TimingRule& rule : timing_rules(timing)) {
    if (rule.from == DramCommand::read && rule.to == DramCommand::read && rule.scope == scope) distance = rule.distance;
  }
  return distance;
}

Direction opposite(Direction d) { return d == Direction::read ? Direction::write : Direction::read; }

template <class Combine>
HbmStats combine(const HbmStats& a, const HbmStats& b, Combine op) {
  HbmStats c;
  for (std::uint64_t HbmStats::*field :
       {&HbmStats::reads, &HbmStats::writes, &HbmStats::bytes_read, &HbmStats::bytes_written, &HbmStats::row_hits,
        &HbmStats::row_misses, &HbmStats::row_conflicts, &HbmStats::activates, &HbmStats::refreshes,
        &HbmStats::data_bus_cycles, &HbmStats::turnarounds}) {
    c.*field = op(a.*field, b.*field);
  }
  return c;
}

}  // namespace

HbmStats operator-(const HbmStats& a, const HbmStats& b) { return combine(a, b, std::minus<>()); }
HbmStats operator+(const HbmStats& a, const HbmStats& b) { return combine(a, b, std::plus<>()); }

HbmChannel::HbmChannel(const HbmSpec& spec, std::uint64_t refresh_phase)
    : timing_values_(spec.timing),
      map_(spec),
      banks_(spec.bank_groups * spec.banks_per_group),
      banks_per_group_(spec.banks_per_group),
      burst_bits_(static_cast<std::uint32_t>(std::countr_zero(spec.access.count()))),
      depth_(spec.queue_depth),
      high_watermark_(kWriteLines * 3 / 4),
      low_watermark_(kWriteLines / 4),
      per_bank_refresh_(spec.per_bank_refresh),
      timing_(rules_between_requests(spec.timing), spec.bank_groups, spec.banks_per_group),
      bus_(burst_distance(spec.timing, RuleScope::other_bank_group),
           burst_distance(spec.timing, RuleScope::same_bank_group)),
      queue_(depth_ + kWriteLines),
      tags_(depth_ + kWriteLines),
      refresh_due_((spec.per_bank_refresh ? spec.timing.nREFIpb : spec.timing.nREFI) + refresh_phase) {
  LIGHTCONE_ASSERT(depth_ > 0 && depth_ + kWriteLines < HbmQueue::kNone);
}

void HbmChannel::accept(const HbmRequest& request, std::uint64_t now) {
  LIGHTCONE_ASSERT(can_accept());
  LIGHTCONE_ASSERT(request.bytes > 0 && request.bytes <= kLargestRequest);
  if (idle()) catch_up_idle(now);
  advance(now);
  const Direction direction = request.write ? Direction::write : Direction::read;
  const BankPlace place = map_.place(request.local_address);
  const std::uint32_t bank = place.bank_group * banks_per_group_ + place.bank;
  // Only the first in its list can change a choice: the others are younger than one that was considered.
  const bool hit = queue_.open_row(bank) == place.row;
  const bool first = ((hit ? queue_.hit_banks(direction) : queue_.other_banks(direction)) & bit(bank)) == 0;
  const std::uint16_t slot = queue_.add(direction, bank, place.row, request.bytes);
  if (!request.write) tags_[slot] = request.tag;
  if (first) hit ? consider_column(bank) : consider_row(bank);
  ++waiting_[static_cast<std::size_t>(direction)];
  if (request.write) buffered_writes_.push_back({request.tag, now});
}

std::uint64_t HbmChannel::tick(std::uint64_t now, std::vector<HbmCompletion>& done) {
  // 1. Writes are done for their requester once buffered.
  done.insert(done.end(), buffered_writes_.begin(), buffered_writes_.end());
  buffered_writes_.clear();
  // 2. Nothing is decided for the past.
  advance(now);
  // 3. Decide commands in order of issue cycle: column and row commands have a bus each; a refresh that is due goes
  // first.
  while (!idle()) {
    choose_direction();
    refresh_choices();
    const std::uint64_t next = std::min({column_.cycle, activate_.cycle, precharge_.cycle});
    const std::uint64_t refresh = std::max(refresh_cycle(), clock_);
    const std::uint64_t due = std::min(next, refresh);
    if (due > now + kDecideAhead) return due;
    clock_ = due;
    if (refresh <= next) {
      per_bank_refresh_ ? start_bank_refresh() : refresh_all_banks(kRefreshBatch);
    } else if (column_.cycle == next) {
      issue_column(done);
    } else if (activate_.cycle == next) {
      issue_activate();
    } else {
      issue_precharge();
    }
  }
  return kNever;
}

// A choice made for a cycle that has passed moves up: others may have become as ready as it.
void HbmChannel::advance(std::uint64_t now) {
  if (now <= clock_) return;
  clock_ = now;
  for (Choice* choice : {&column_, &activate_, &precharge_}) choice->stale |= choice->cycle < now;
}

// Reads first; writes when many are buffered, or when no read waits. A drain ends at the low watermark, or after a full
// buffer's worth while reads wait, so that a steady stream of writes cannot starve reads.
void HbmChannel::choose_direction() {
  const std::uint64_t reads = waiting(Direction::read);
  const std::uint64_t writes = waiting(Direction::write);
  bool turn = false;
  if (direction_ == Direction::read) {
    turn = writes >= high_watermark_ || (reads == 0 && writes > 0);
  } else {
    turn = writes == 0 || (reads > 0 && (writes <= low_watermark_ || drained_ >= kWriteLines));
  }
  if (!turn) return;
  direction_ = opposite(direction_);
  drained_ = 0;
  starved_banks_ = 0;
  ++stats_.turnarounds;
  all_stale();
}

// First ready, then first come. Columns: the row hit that can use the data bus soonest. Rows: the activation or
// precharge that is possible soonest.
void HbmChannel::refresh_choices() {
  if (column_.stale) search_columns();
  if (activate_.stale) search_rows(activate_, DramCommand::activate, ~queue_.open_banks());
  if (precharge_.stale) search_rows(precharge_, DramCommand::precharge, queue_.open_banks());
}

// No request can use the bus before its next free slot, so all banks that are ready by then are equals.
void HbmChannel::search_columns() {
  const DramCommand command = column_command();
  const std::uint64_t soonest = bus_.first_free(std::max(clock_, timing_.earliest_in_channel(command)));
  column_ = soonest_of(banks_for_columns(), command, soonest,
                       [this](std::uint32_t bank) { return queue_.hit_order(direction_, bank); });
  if (column_.cycle != soonest && column_.cycle != kNever) column_.cycle = bus_.first_free(column_.cycle);
}

void HbmChannel::search_rows(Choice& choice, DramCommand command, std::uint64_t side) {
  side &= ~refreshing_;
  const std::uint64_t soonest = std::max(clock_, timing_.earliest_in_channel(command));
  choice = soonest_of(banks_for_own_rows() & side, command, soonest,
                      [this](std::uint32_t bank) { return queue_.other_order(direction_, bank); });
  if (const std::uint64_t ahead = banks_read_ahead() & side; ahead != 0) {
    const Choice other = soonest_of(ahead, command, soonest,
                                    [this](std::uint32_t bank) { return queue_.other_order(Direction::read, bank); });
    choice.consider(other.cycle, other.order, other.bank, command);
  }
  if (refreshing_ != 0) consider_row(static_cast<std::uint32_t>(std::countr_zero(refreshing_)));
}

// The bank of `banks` that is ready soonest, but not before `soonest`; among equals the one with the oldest request.
// One key per bank (26 bits of wait, 32 of age, 6 of bank) keeps the search free of branches, which would be hard to
// predict.
template <class OrderOf>
HbmChannel::Choice HbmChannel::soonest_of(std::uint64_t banks, DramCommand command, std::uint64_t soonest,
                                          OrderOf order_of) const {
  if (banks == 0) return {kNever, 0, DramTiming::kMaxBanks, command, false};
  const std::uint32_t oldest = queue_.last_order() - (1u << 31);  // below that of every request that waits
  std::uint64_t best = ~std::uint64_t{0};
  do {
    const std::uint32_t bank = take_lowest(banks);
    const std::uint64_t wait = std::max(soonest, timing_.earliest_in_bank(command, bank)) - soonest;
    best = std::min(best, wait << 38 | std::uint64_t{order_of(bank) - oldest} << 6 | bank);
  } while (banks != 0);
  return {soonest + (best >> 38), static_cast<std::uint32_t>(best >> 6) + oldest,
          static_cast<std::uint8_t>(best & (DramTiming::kMaxBanks - 1)), command, false};
}

std::uint64_t HbmChannel::banks_for_columns() const {
  return queue_.hit_banks(direction_) & ~starved_banks_ & ~refreshing_;
}

// Banks that want another row: those with no row hit left in this direction (or starved ones), the one to be
// refreshed, and those to be opened ahead.
std::uint64_t HbmChannel::banks_for_rows() const { return banks_for_own_rows() | banks_read_ahead() | refreshing_; }

std::uint64_t HbmChannel::banks_for_own_rows() const {
  return queue_.other_banks(direction_) & (~queue_.hit_banks(direction_) | starved_banks_);
}

// During a drain, banks that only reads wait for, so that their rows are open when the bus turns.
std::uint64_t HbmChannel::banks_read_ahead() const {
  if (direction_ == Direction::read) return 0;
  const std::uint64_t used = queue_.other_banks(Direction::write) | queue_.hit_banks(Direction::write);
  return queue_.other_banks(Direction::read) & ~queue_.hit_banks(Direction::read) & ~used;
}

// The request that an activation of the bank would serve.
const WaitingRequest& HbmChannel::wants_row(std::uint32_t bank) const {
  const bool own = (queue_.other_banks(direction_) & bit(bank)) != 0;
  return queue_.oldest_other(own ? direction_ : opposite(direction_), bank);
}

void HbmChannel::consider_column(std::uint32_t bank) {
  if (column_.stale || (banks_for_columns() & bit(bank)) == 0) return;
  const DramCommand command = column_command();
  const std::uint64_t cycle = std::max(clock_, timing_.earliest(command, bank));
  if (cycle > column_.cycle) return;
  column_.consider(bus_.first_free(cycle), queue_.hit_order(direction_, bank), bank, command);
}

void HbmChannel::consider_row(std::uint32_t bank) {
  const bool open = queue_.open_row(bank) != HbmQueue::kClosed;
  Choice& choice = open ? precharge_ : activate_;
  if (choice.stale || (banks_for_rows() & bit(bank)) == 0) return;
  const bool refresh = (refreshing_ & bit(bank)) != 0;
  DramCommand command = DramCommand::precharge;
  if (!open) command = refresh ? DramCommand::refresh_bank : DramCommand::activate;
  const std::uint64_t cycle = std::max(clock_, timing_.earliest(command, bank));
  if (!refresh) {
    choice.consider(cycle, wants_row(bank).order, bank, command);
  } else if (cycle <= choice.cycle) {  // a refresh goes before any request
    choice = {cycle, choice.order, static_cast<std::uint8_t>(bank), command, false};
  }
}

// A row command that went out pushes the choices for the other row commands back; they are kept.
void HbmChannel::delay_row_choices() {
  activate_.cycle = std::max(activate_.cycle, timing_.earliest_in_channel(activate_.command));
  precharge_.cycle = std::max(precharge_.cycle, timing_.earliest_in_channel(DramCommand::precharge));
}

void HbmChannel::issue(DramCommand command, std::uint32_t bank, std::uint32_t row, std::uint64_t cycle) {
  timing_.issue(command, bank, cycle);
  if (listener_) listener_({command, bank, row, cycle});
}

// A train of bursts from one row: a request and, up to a line's worth, those that follow it in its list. The cycles of
// the later bursts follow from the first.
void HbmChannel::issue_column(std::vector<HbmCompletion>& done) {
  const auto [cycle, order, bank, command, stale] = column_;
  std::uint32_t bursts = 0;
  std::uint32_t left = kLargestRequest;
  do {
    const std::uint16_t slot = queue_.pop_hit(direction_, bank);
    const std::uint32_t bytes = queue_.at(slot).bytes;
    left -= bytes;
    bursts += (bytes + (1u << burst_bits_) - 1) >> burst_bits_;
    finish(slot, cycle + std::uint64_t{bursts - 1} * bus_.stride(), done);
  } while ((queue_.hit_banks(direction_) & bit(bank)) != 0 && queue_.oldest_hit(direction_, bank).bytes <= left);
  const std::uint64_t last = bus_.take(cycle, bursts);
  timing_.issue(command, bank, last);
  if (listener_) {
    for (std::uint64_t at = cycle; at <= last; at += bus_.stride()) {
      listener_({command, bank, queue_.open_row(bank), at});
    }
  }
  stats_.data_bus_cycles += std::uint64_t{bursts} * timing_values_.nBL;
  stats_.row_hits += bursts - ((fresh_banks_ & bit(bank)) != 0);
  fresh_banks_ &= ~bit(bank);
  column_.stale = true;
  if ((queue_.other_banks(direction_) & bit(bank)) != 0 &&
      older(queue_.other_order(direction_, bank) + static_cast<std::uint32_t>(kOvertakeDepths * depth_), order)) {
    starved_banks_ |= bit(bank);
  }
  // Its precharge is later now; and it may want another row: no hit is left, or an older request starves.
  if (precharge_.bank == bank) precharge_.stale = true;
  if ((queue_.hit_banks(direction_) & ~(starved_banks_ | refreshing_) & bit(bank)) == 0) consider_row(bank);
}

// `last_burst`: the cycle of its column command.
inline void HbmChannel::finish(std::uint16_t slot, std::uint64_t last_burst, std::vector<HbmCompletion>& done) {
  const std::uint32_t bytes = queue_.at(slot).bytes;
  --waiting_[static_cast<std::size_t>(direction_)];
  if (direction_ == Direction::read) {
    done.push_back({tags_[slot], last_burst + timing_values_.nCL + timing_values_.nBL});
    ++stats_.reads;
    stats_.bytes_read += bytes;
  } else {
    ++stats_.writes;
    ++drained_;
    stats_.bytes_written += bytes;
  }
}

void HbmChannel::issue_precharge() {
  const std::uint32_t bank = precharge_.bank;
  issue(DramCommand::precharge, bank, queue_.open_row(bank), precharge_.cycle);
  queue_.close(bank);
  starved_banks_ &= ~bit(bank);
  fresh_banks_ &= ~bit(bank);
  if ((refreshing_ & bit(bank)) == 0) conflict_banks_ |= bit(bank);
  precharge_.stale = true;
  if (column_.bank == bank) column_.stale = true;
  delay_row_choices();
  consider_row(bank);
}

// Opens a row, or refreshes a closed bank.
void HbmChannel::issue_activate() {
  const auto [cycle, order, bank, command, stale] = activate_;
  activate_.stale = true;
  if (command == DramCommand::refresh_bank) {
    issue(command, bank, 0, cycle);
    delay_row_choices();
    ++stats_.refreshes;
    refreshing_ = 0;
    conflict_banks_ &= ~bit(bank);
    return;
  }
  const std::uint32_t row = wants_row(bank).row;
  issue(command, bank, row, cycle);
  delay_row_choices();
  queue_.open(bank, row);
  ++stats_.activates;
  ++((conflict_banks_ & bit(bank)) != 0 ? stats_.row_conflicts : stats_.row_misses);
  conflict_banks_ &= ~bit(bank);
  fresh_banks_ |= bit(bank);
  consider_column(bank);
}

// A busy channel postpones all-bank refreshes until kRefreshBatch are due, and pays for closing and opening rows once.
std::uint64_t HbmChannel::refresh_cycle() const {
  if ((per_bank_refresh_ ? timing_values_.nREFIpb : timing_values_.nREFI) == 0) return kNever;  // switched off
  if (!per_bank_refresh_) return refresh_due_ + (kRefreshBatch - 1) * timing_values_.nREFI;
  return refreshing_ != 0 ? kNever : refresh_due_;
}

void HbmChannel::refresh_all_banks(std::uint64_t count) {
  if (queue_.open_banks() != 0) {
    const std::uint64_t cycle = std::max(clock_, timing_.earliest(DramCommand::precharge_all, 0));
    issue(DramCommand::precharge_all, 0, 0, cycle);
    for (std::uint64_t banks = queue_.open_banks(); banks != 0;) queue_.close(take_lowest(banks));
    clock_ = cycle;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    issue(DramCommand::refresh, 0, 0, std::max(clock_, timing_.earliest(DramCommand::refresh, 0)));
  }
  stats_.refreshes += count;
  refresh_due_ += count * timing_values_.nREFI;
  starved_banks_ = conflict_banks_ = fresh_banks_ = 0;
  all_stale();
}

// Per-bank refresh: in each round every bank once, those that nobody waits for first.
void HbmChannel::start_bank_refresh() {
  const std::uint64_t all = banks_ == 64 ? ~std::uint64_t{0} : bit(banks_) - 1;
  if (refresh_round_ == all) refresh_round_ = 0;
  const std::uint64_t left = all & ~refresh_round_;
  const std::uint64_t unused = left & ~queue_.busy_banks();
  const std::uint64_t from = unused != 0 ? unused : left;
  refreshing_ = from & (~from + 1);
  refresh_round_ |= refreshing_;
  refresh_due_ += timing_values_.nREFIpb;
  all_stale();
}

// Refreshes that fell due while nothing waited: all but the last few are over and only counted.
void HbmChannel::catch_up_idle(std::uint64_t now) {
  finish_bank_refresh();
  const std::uint64_t interval = per_bank_refresh_ ? timing_values_.nREFIpb : timing_values_.nREFI;
  if (interval == 0 || refresh_due_ > now) return;
  const std::uint64_t due = (now - refresh_due_) / interval + 1;
  const std::uint64_t replayed = std::min<std::uint64_t>(due, per_bank_refresh_ ? banks_ : kRefreshBatch);
  refresh_due_ += (due - replayed) * interval;
  stats_.refreshes += due - replayed;
  for (std::uint64_t i = 0; i < replayed; ++i) {
    clock_ = std::max(clock_, refresh_due_);
    if (per_bank_refresh_) {
      start_bank_refresh();
      finish_bank_refresh();
    } else {
      refresh_all_banks(1);
    }
  }
}

void HbmChannel::finish_bank_refresh() {
  while (refreshing_ != 0) {
    all_stale();
    refresh_choices();
    clock_ = std::min(activate_.cycle, precharge_.cycle);
    activate_.cycle <= precharge_.cycle ? issue_activate() : issue_precharge();
  }
}

}  // namespace lightcone::hardware
