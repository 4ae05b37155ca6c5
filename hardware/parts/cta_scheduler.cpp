// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/cta_scheduler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {
// Times the tolerance, where items differ in length.
constexpr double kUnevenTolerance = 4;

// Loops of one level only, so that every role of the class can leave out the same number of iterations.
bool has_flat_loops(const CtaClass& cta_class) {
  for (const Role& role : cta_class.roles) {
    int depth = 0;
    for (const Op& op : role.ops) {
      if (std::holds_alternative<LoopBegin>(op) && ++depth > 1) return false;
      if (std::holds_alternative<LoopEnd>(op)) --depth;
    }
  }
  return true;
}
}  // namespace

CtaScheduler::CtaScheduler(const TileProgram& program, std::uint32_t slots, bool sample, double tolerance,
                           double least_window)
    : program_(program),
      slots_(slots),
      sample_(sample),
      tolerance_(tolerance),
      least_window_(least_window),
      total_(program.cta_count()),
      skip_(program.groups.size(), 0),
      spare_(program.groups.size(), 0),
      slot_used_(slots, 0),
      slot_first_(slots, 0),
      slot_since_(slots, 0),
      slot_skipped_(slots, 0) {
  LIGHTCONE_ASSERT(slots > 0);
  slots_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(slots, total_));
  window_ = slots_;
  next_judgement_ = 2 * std::size_t{slots_};
  for (const CtaClass& c : program.classes) flat_.push_back(has_flat_loops(c) ? 1 : 0);
  if (sample) plan_skips();
}

void CtaScheduler::plan_skips() {
  double iterations = 0, played = 0;
  for (std::size_t g = 0; g < program_.groups.size(); ++g) {
    const CtaGroup& group = program_.groups[g];
    std::int64_t shortest = 0;
    for (const LoopRange& loop : group.loops) {
      if (loop.count > 0) shortest = shortest == 0 ? loop.count : std::min(shortest, loop.count);
    }
    const std::int64_t skip = shortest - kLoopHead - kLoopTail;
    const bool flat = flat_[group.cta_class] != 0;
    if (skip >= kLeastSkip && flat) skip_[g] = skip;
    spare_[g] = flat ? std::max<std::int64_t>(shortest - skip_[g] - kLoopHead, 0) : 0;
    const auto count = static_cast<double>(group.count());
    iterations += count * static_cast<double>(std::max<std::int64_t>(shortest, 1));
    played += count * static_cast<double>(std::max<std::int64_t>(shortest - skip_[g], 1));
  }
  played_share_ = iterations > 0 ? played / iterations : 1;
  staggered_ = total_ >= kManyRounds * std::uint64_t{slots_};
}

std::int64_t CtaScheduler::skipped_iterations(std::uint32_t group, std::uint32_t slot, bool first) const {
  if (!first || !staggered_) return skip_[group];
  // A fixed pseudo-random share of what can still be left out.
  const auto hash = static_cast<std::int64_t>((slot * 2654435761u) >> 16);
  return skip_[group] + hash % (spare_[group] + 1);
}

std::optional<WorkItem> CtaScheduler::next() {
  while (group_ < program_.groups.size() && in_group_ == program_.groups[group_].count()) {
    ++group_;
    in_group_ = 0;
  }
  if (group_ == program_.groups.size()) return std::nullopt;
  return WorkItem{group_, coordinates(program_.groups[group_], in_group_++), handed_out_++};
}

void CtaScheduler::started(std::uint32_t slot, engine::Cycle now) {
  if (slot_used_[slot] != 0) return;
  slot_used_[slot] = 1;
  slot_since_[slot] = slot_first_[slot] = now;
}

double CtaScheduler::length(std::uint32_t group) const {
  const CtaGroup& g = program_.groups[group];
  const auto first = static_cast<double>(g.loops[0].count), second = static_cast<double>(g.loops[1].count);
  // Loops of one level run side by side, in different roles or one after another.
  return flat_[g.cta_class] != 0 ? std::max(first, second) : std::max(first, 1.0) * std::max(second, 1.0);
}

void CtaScheduler::finished(std::uint32_t slot, const WorkItem& item, engine::Cycle now, double period) {
  const std::int64_t skip = skipped_iterations(item.group, slot, item.index < slots_);
  const double left_out = period * static_cast<double>(skip);
  records_.push_back(
      ItemRecord{slot, item.group, static_cast<double>(now - slot_since_[slot]) + left_out, period, now});
  slot_skipped_[slot] += left_out;
  slot_since_[slot] = now;
  if (sample_ && !steady_ && records_.size() >= next_judgement_ && remaining() > slots_) judge();
}

CtaScheduler::CostModel CtaScheduler::fit(std::size_t first) const {
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, timed = 0, periods = 0;
  for (std::size_t i = first; i < records_.size(); ++i) {
    const double x = length(records_[i].group);
    const double y = records_[i].cycles;
    n += 1;
    sx += x;
    sy += y;
    sxx += x * x;
    sxy += x * y;
    if (records_[i].period > 0) {
      timed += x;
      periods += x * records_[i].period;
    }
  }
  const double spread = n * sxx - sx * sx;
  double slope = 0;
  if (timed > 0) {
    slope = std::min(periods / timed, sy / sx);
  } else if (spread > 1e-9 * n * sxx && n >= 2) {
    slope = std::max(0.0, (n * sxy - sx * sy) / spread);
  }
  return {(sy - slope * sx) / n, slope};
}

bool CtaScheduler::uneven() const {
  for (std::uint32_t g = 1; g < program_.groups.size(); ++g) {
    if (length(g) != length(0)) return true;
  }
  return false;
}

// A round is as many finished items as there are slots, or several times as many where those are over too soon. The
// kernel is steady when the latest round took the same time per item, after allowing for the items' lengths, as the
// round before.
void CtaScheduler::judge() {
  next_judgement_ = records_.size() + std::max<std::size_t>(slots_ / 2, 1);
  const auto span = [&](std::size_t items) {
    return static_cast<double>(records_.back().finished - records_[records_.size() - items].finished);
  };
  std::size_t round = slots_;
  while (2 * round <= records_.size() && span(round) < least_window_) round += slots_;
  if (2 * round > records_.size()) return;
  window_ = round;
  const std::size_t last = records_.size() - round;
  const CostModel model = fit(last - round);
  const auto ratio = [&](std::size_t first, std::size_t end) {
    double seen = 0, expected = 0;
    for (std::size_t i = first; i < end; ++i) {
      seen += records_[i].cycles;
      expected += model.fixed + model.per_iteration * length(records_[i].group);
    }
    return seen / expected;
  };
  const double change = std::abs(ratio(last, records_.size()) / ratio(last - round, last) - 1);
  // Items of several lengths overlap differently in every round: their scatter is not a drift.
  steady_ = change <= (uneven() ? kUnevenTolerance : 1) * tolerance_;
}

Extrapolation CtaScheduler::extrapolate(engine::Cycle now) const {
  Extrapolation out;
  const std::size_t round = slots_;
  // Equal items: the latest rounds, past the cold start. Items of several lengths: as many as there are, past it too.
  const std::size_t warm =
      uneven() ? std::min(round, records_.size() / 2) : records_.size() - std::min(2 * window_, records_.size());
  const CostModel model = fit(warm);
  const auto cost = [&](std::uint32_t group) {
    return std::max(1.0, model.fixed + model.per_iteration * length(group));
  };
  double played = 0, whole = 0;
  for (const ItemRecord& record : records_) played += cost(record.group);
  for (std::uint32_t g = 0; g < program_.groups.size(); ++g) {
    whole += cost(g) * static_cast<double>(program_.groups[g].count());
  }
  out.simulated_fraction = std::min(1.0, played / whole) * played_share_;

  // What is left: items under way end when their slot's item is due; the others follow in order, each on the slot
  // that is free first. When items of different lengths left iterations out, they met in another order than they
  // would have: then the whole grid is scheduled anew.
  const bool anew = played_share_ < 1 && uneven();
  std::vector<double> free;
  std::vector<std::uint64_t> done_per_group(program_.groups.size(), 0);
  for (const ItemRecord& record : records_) done_per_group[record.group] += anew ? 0 : 1;
  std::uint64_t left = anew ? total_ : total_ - records_.size();
  for (std::size_t slot = 0; slot < slot_used_.size(); ++slot) {
    if (slot_used_[slot] == 0) continue;
    free.push_back(anew ? static_cast<double>(slot_first_[slot])
                        : static_cast<double>(slot_since_[slot]) + slot_skipped_[slot]);
  }
  std::make_heap(free.begin(), free.end(), std::greater<>());
  for (std::uint32_t g = 0; g < program_.groups.size() && left > 0; ++g) {
    std::uint64_t count = program_.groups[g].count() - done_per_group[g];
    const double each = cost(g);
    // Whole rounds of equal items move every slot by the same amount.
    const std::uint64_t width = free.size();
    if (count > 4 * width) {
      const std::uint64_t rounds = count / width - 2;
      for (double& f : free) f += each * static_cast<double>(rounds);
      count -= rounds * width;
      left -= rounds * width;
    }
    for (; count > 0; --count, --left) {
      std::pop_heap(free.begin(), free.end(), std::greater<>());
      free.back() += each;
      std::push_heap(free.begin(), free.end(), std::greater<>());
    }
  }
  out.end_cycle = std::max(static_cast<double>(now), *std::max_element(free.begin(), free.end()));
  for (const double f : free) out.idle_slot_cycles += out.end_cycle - std::max(f, static_cast<double>(now));
  return out;
}

}  // namespace lightcone::hardware
