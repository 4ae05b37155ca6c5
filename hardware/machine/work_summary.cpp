// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/work_summary.h"

#include <algorithm>

#include "sim/base/checked.h"

namespace lightcone::hardware {

Demand& Demand::operator+=(const Demand& other) {
  for (std::size_t i = 0; i < mma_flops.size(); ++i) mma_flops[i] += other.mma_flops[i];
  fp32_ops += other.fp32_ops;
  int_ops += other.int_ops;
  sfu_ops += other.sfu_ops;
  mma_shared_bytes += other.mma_shared_bytes;
  other_shared_bytes += other.other_shared_bytes;
  copied_bytes += other.copied_bytes;
  bulk_bytes += other.bulk_bytes;
  register_bytes += other.register_bytes;
  received_bytes += other.received_bytes;
  requested_bytes += other.requested_bytes;
  stored_bytes += other.stored_bytes;
  return *this;
}

namespace {

constexpr std::uint64_t kSector = 32;  // the L2's unit of transfer

// The variables that move a box.
std::array<bool, kVarCount> moving_vars(const Box& box) {
  std::array<bool, kVarCount> moves{};
  moves[static_cast<std::size_t>(box.row_var)] = true;
  moves[static_cast<std::size_t>(box.column_var)] = true;
  for (const Term& term : box.outer) {
    if (term.stride_bytes != 0) moves[static_cast<std::size_t>(term.var)] = true;
  }
  moves[static_cast<std::size_t>(Var::none)] = false;
  return moves;
}

// Bytes touched at least once when the variables run through `ranges`: those that do not move the box are left out.
double distinct_bytes(const Box& box, const std::array<bool, kVarCount>& moves, VarRanges ranges) {
  for (std::size_t var = 0; var < kVarCount; ++var) {
    if (!moves[var]) ranges[var].count = 1;
  }
  return static_cast<double>(total_bytes(box, ranges));
}

// The block of coordinates that the first `concurrent` CTAs of a group cover, in rasterisation order.
VarRanges wave_ranges(const CtaGroup& group, VarRanges ranges, std::uint64_t concurrent) {
  std::uint64_t left = std::max<std::uint64_t>(1, concurrent);
  for (std::size_t i = 0; i < 4; ++i) {
    LoopRange& range = ranges[static_cast<std::size_t>(Var::cta0) + i];
    auto extent = static_cast<std::uint64_t>(range.count);
    std::uint64_t covered = std::min(extent, left);
    if (i == 0 && group.band > 0) covered = std::min<std::uint64_t>(covered, group.band);
    // In a banded grid the wave runs down cta1 and then into the next bands.
    range.count = static_cast<std::int64_t>(covered);
    left = std::max<std::uint64_t>(1, left / covered);
    if (i == 1 && group.band > 0 && left > 1) {
      LoopRange& first = ranges[static_cast<std::size_t>(Var::cta0)];
      const auto wider = std::min<std::uint64_t>(group.extent[0], static_cast<std::uint64_t>(first.count) * left);
      left = std::max<std::uint64_t>(1, left * static_cast<std::uint64_t>(first.count) / wider);
      first.count = static_cast<std::int64_t>(wider);
    }
  }
  return ranges;
}

LoopRange hull(const LoopRange& a, const LoopRange& b) {
  const std::int64_t first = std::min(a.first, b.first);
  return {first, std::max(a.first + a.count, b.first + b.count) - first};
}

bool contains(const LoopRange& a, const LoopRange& b) {
  return a.first <= b.first && a.first + a.count >= b.first + b.count;
}

bool touch(const LoopRange& a, const LoopRange& b) {
  return a.first <= b.first + b.count && b.first <= a.first + a.count;
}

// Hulls of one access over the groups seen so far: of everything, and of a part that has no gaps.
struct Extent {
  bool empty = true;
  VarRanges everything{}, solid{};
};

// Grows the solid part where it stays without gaps: one range inside the other, or side by side along one variable.
bool grow_solid(VarRanges& solid, const VarRanges& more, const std::array<bool, kVarCount>& moves) {
  bool inside = true, around = true;
  std::size_t differing = 0, along = 0;
  for (std::size_t var = 1; var < kVarCount; ++var) {
    if (!moves[var]) continue;
    const bool in = contains(solid[var], more[var]);
    const bool out = contains(more[var], solid[var]);
    inside = inside && in;
    around = around && out;
    if (!(in && out)) {
      ++differing;
      along = var;
    }
  }
  if (inside) return true;
  if (around) {
    solid = more;
    return true;
  }
  if (differing == 1 && touch(solid[along], more[along])) {
    solid[along] = hull(solid[along], more[along]);
    return true;
  }
  return false;
}

// Collects one program; one instance per call of summarize().
class Summarizer {
 public:
  Summarizer(const TileProgram& program, std::uint64_t concurrent) : program_(program), concurrent_(concurrent) {
    summary_.accesses.resize(program.classes.size());
    extents_.resize(program.classes.size());
  }

  WorkSummary run() {
    summary_.groups.reserve(program_.groups.size());
    for (const CtaGroup& group : program_.groups) add(group);
    for (std::size_t i = 0; i < kNumberFormats.size(); ++i) {
      summary_.executed[i] = Flops(static_cast<std::uint64_t>(summary_.total.mma_flops[i]));
    }
    return std::move(summary_);
  }

  void operator()(const LoadTile& op) {
    const double moved = access(op.box, false, op.path == CopyPath::lsu, op.multicast);
    const double requested = moved / op.multicast;
    const double kept = op.split_over_pair ? requested : moved;
    work_->copied_bytes += kept;
    (op.path == CopyPath::bulk ? work_->bulk_bytes : work_->register_bytes) += requested;
    work_->received_bytes += kept;
    work_->requested_bytes += requested;
  }
  void operator()(const GlobalLoad& op) {
    const double moved = access(op.box, false, true, 1);
    work_->register_bytes += moved;
    work_->received_bytes += moved;
    work_->requested_bytes += moved;
  }
  void operator()(const GlobalStore& op) {
    const double moved = access(op.box, true, op.path == CopyPath::lsu, 1);
    (op.path == CopyPath::bulk ? work_->bulk_bytes : work_->register_bytes) += moved;
    if (op.path == CopyPath::bulk) work_->copied_bytes += moved;
    work_->stored_bytes += moved;
  }
  void operator()(const Mma& op) {
    work_->mma_flops[static_cast<std::size_t>(op.format)] += 2.0 * op.m * op.n * op.k * runs_;
    work_->mma_shared_bytes += static_cast<double>(op.shared_read_bytes) * runs_;
    summary_.useful += Flops(total_useful_flops(op, *ranges_));
  }
  void operator()(const VectorWork& op) {
    work_->fp32_ops += static_cast<double>(op.fp32_ops) * runs_;
    work_->int_ops += static_cast<double>(op.int_ops) * runs_;
    work_->sfu_ops += static_cast<double>(op.sfu_ops) * runs_;
    summary_.vector_flops += Flops(op.fp32_flops * static_cast<std::uint64_t>(runs_));
    summary_.sfu_ops += op.sfu_ops * static_cast<std::uint64_t>(runs_);
  }
  void operator()(const SharedAccess& op) {
    work_->other_shared_bytes += static_cast<double>(op.read_bytes + op.write_bytes) * runs_;
  }
  void operator()(const Signal& op) {
    if (op.counter_var == Var::none) summary_.shared_signals += runs_;
  }
  template <class Other>
  void operator()(const Other&) {}

 private:
  void add(const CtaGroup& group) {
    GroupWork work;
    work.ctas = group.count();
    group_ = &group;
    work_ = &work.demand;
    next_access_ = 0;
    for (const Role& role : program_.classes[group.cta_class].roles) {
      for_each_operation(role, group, [&](const Op& op, const VarRanges& ranges) {
        ranges_ = &ranges;
        runs_ = static_cast<double>(executions(ranges));
        std::visit(*this, op);
      });
    }
    summary_.total += work.demand;
    summary_.ctas += work.ctas;
    summary_.groups.push_back(work);
  }

  // Records the boxes of one operation; returns the bytes they move, whole sectors where rows are short.
  double access(const Box& box, bool store, bool through_l1, double multicast) {
    std::vector<Access>& accesses = summary_.accesses[group_->cta_class];
    std::vector<Extent>& extents = extents_[group_->cta_class];
    const std::size_t index = next_access_++;
    if (index == accesses.size()) {
      const bool apart = box.rows > 1 && box.row_pitch_bytes > box.row_bytes;
      accesses.push_back({box.tensor, store, through_l1, multicast, apart ? static_cast<double>(box.row_bytes) : 0});
      extents.emplace_back();
    }
    Access& access = accesses[index];
    const double moved = static_cast<double>(total_bytes(box, *ranges_));
    access.bytes += moved;
    access.runs += runs_;
    if (moved > 0) cover(access, extents[index], box);
    return moved * sector_overhead(box);
  }

  static double sector_overhead(const Box& box) {
    // Rows that follow each other without a gap are one run of bytes.
    if (box.rows == 1 || box.row_pitch_bytes == box.row_bytes || box.row_bytes >= 4 * kSector) return 1;
    return static_cast<double>(round_up(box.row_bytes, kSector)) / static_cast<double>(box.row_bytes);
  }

  void cover(Access& access, Extent& extent, const Box& box) const {
    const std::array<bool, kVarCount> moves = moving_vars(box);
    const double ctas = static_cast<double>(group_->count());
    const double wave_ctas = static_cast<double>(concurrent_);
    const double own = distinct_bytes(box, moves, *ranges_);
    // A group smaller than a wave shares the wave with its neighbours and counts for its part of it.
    const double per_wave =
        ctas <= wave_ctas ? own : distinct_bytes(box, moves, wave_ranges(*group_, *ranges_, concurrent_));
    access.per_waves += per_wave * ctas / wave_ctas;
    if (extent.empty) {
      extent = {false, *ranges_, *ranges_};
      access.distinct = access.surely = own;
      return;
    }
    bool wider = false;
    for (std::size_t var = 1; var < kVarCount; ++var) {
      if (!moves[var] || contains(extent.everything[var], (*ranges_)[var])) continue;
      extent.everything[var] = hull(extent.everything[var], (*ranges_)[var]);
      wider = true;
    }
    if (wider) {
      access.distinct = distinct_bytes(box, moves, extent.everything);
      if (grow_solid(extent.solid, *ranges_, moves)) {
        access.surely = std::max(access.surely, distinct_bytes(box, moves, extent.solid));
      }
      access.surely = std::max(access.surely, own);
    }
  }

  const TileProgram& program_;
  std::uint64_t concurrent_;
  WorkSummary summary_;
  std::vector<std::vector<Extent>> extents_;
  // Where the walk stands.
  const CtaGroup* group_ = nullptr;
  Demand* work_ = nullptr;
  const VarRanges* ranges_ = nullptr;
  double runs_ = 0;
  std::size_t next_access_ = 0;
};

}  // namespace

WorkSummary summarize(const TileProgram& program, std::uint64_t concurrent) {
  return Summarizer(program, std::max<std::uint64_t>(1, concurrent)).run();
}

}  // namespace lightcone::hardware
