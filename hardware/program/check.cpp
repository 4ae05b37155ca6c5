// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>

#include "hardware/program/sums.h"

namespace lightcone::hardware {

namespace {

constexpr std::size_t kLoop0 = static_cast<std::size_t>(Var::loop0);

// What a role does to one pipe over a whole CTA.
struct PipeUse {
  std::uint64_t acquired = 0, committed = 0, waited = 0, released = 0;
};

// Walks the operations of one role of one group, keeping the loop scope, and throws at the first fault.
class RoleCheck {
 public:
  RoleCheck(const TileProgram& program, const CtaGroup& group, const CtaClass& cta_class, const Role& role)
      : program_(program),
        group_(group),
        class_(cta_class),
        role_(role),
        ranges_(cta_ranges(group)),
        uses_(cta_class.pipes.size()) {}

  const std::vector<PipeUse>& run() {
    for (const Op& op : role_.ops) {
      runs_ = 1;
      for (const std::size_t loop : open_) runs_ *= static_cast<std::uint64_t>(group_.loops[loop].count);
      std::visit(*this, op);
    }
    require(open_.empty(), "a loop is not closed");
    return uses_;
  }

  void operator()(const LoopBegin& op) {
    require(op.loop < group_.loops.size(), "there are two loops, 0 and 1");
    require(std::find(open_.begin(), open_.end(), op.loop) == open_.end(), "a loop is opened inside itself");
    require(op.loop == 1 || open_.empty(), "loop 0 may not nest inside loop 1");
    require(group_.loops[op.loop].count >= 0 && group_.loops[op.loop].first >= 0, "a loop range is negative");
    open_.push_back(op.loop);
    ranges_[kLoop0 + op.loop] = group_.loops[op.loop];
  }
  void operator()(const LoopEnd&) {
    require(!open_.empty(), "a loop ends that was not begun");
    const LoopRange& loop = group_.loops[open_.back()];
    ranges_[kLoop0 + open_.back()] = {loop.first + loop.count, 1};
    open_.pop_back();
  }
  void operator()(const AcquireStage& op) { use(op.pipe).acquired += runs_; }
  void operator()(const CommitStage& op) { use(op.pipe).committed += runs_; }
  void operator()(const WaitStage& op) { use(op.pipe).waited += runs_; }
  void operator()(const ReleaseStage& op) { use(op.pipe).released += runs_; }
  void operator()(const LoadTile& op) {
    use(op.pipe);
    require(!op.split_over_pair || op.multicast == 2, "an operand is split over a pair of CTAs that share it");
    require(op.multicast >= 1 && program_.cluster_size % op.multicast == 0, "multicast must divide the cluster size");
    box(op.box, false);
  }
  void operator()(const GlobalLoad& op) { box(op.box, false); }
  void operator()(const GlobalStore& op) { box(op.box, true); }
  void operator()(const Mma& op) {
    require(op.m > 0 && op.n > 0 && op.k > 0, "a matrix instruction has an empty dimension");
    require(op.useful.row_divisor > 0, "row_divisor is zero");
  }
  void operator()(const CtaBarrier& op) { require(op.id < 16, "there are 16 barriers, 0 to 15"); }
  template <class Other>
  void operator()(const Other&) {}

 private:
  void require(bool holds, std::string_view what) const {
    if (!holds) {
      throw std::logic_error(
          fmt::format("tile program {}, class {}, role {}: {}", program_.name, class_.name, role_.name, what));
    }
  }

  PipeUse& use(std::uint8_t pipe) {
    require(pipe < uses_.size(), "an operation names a pipe that the class does not have");
    return uses_[pipe];
  }

  void box(const Box& box, bool store) const {
    require(box.tensor < program_.tensors.size(), "a box names a tensor that the program does not have");
    const Tensor& tensor = program_.tensors[box.tensor];
    require(!store || tensor.written, "a store goes to a tensor that is not marked written");
    require(box.rows > 0 && box.row_bytes > 0, "a box is empty");
    require(end_of(box) <= static_cast<std::int64_t>(tensor.bytes.count()), "a box reaches beyond its tensor");
  }

  // One past the last byte that any execution of the box can touch.
  [[nodiscard]] std::int64_t end_of(const Box& box) const {
    const auto last = [&](Var var) {
      const LoopRange& range = ranges_[static_cast<std::size_t>(var)];
      return static_cast<std::uint64_t>(range.first + range.count - 1);
    };
    if (executions(ranges_) == 0 || total_bytes(box, ranges_) == 0) return 0;
    const std::uint64_t rows = std::min(last(box.row_var) * row_step(box) + box.first_row + box.rows, box.row_extent);
    const std::uint64_t bytes = std::min(
        last(box.column_var) * column_step(box) + box.first_column_byte + box.row_bytes, box.column_extent_bytes);
    auto end = static_cast<std::int64_t>((rows - 1) * box.row_pitch_bytes + bytes);
    for (const Term& term : box.outer) {
      const LoopRange& range = ranges_[static_cast<std::size_t>(term.var)];
      end += std::max(range.first * term.stride_bytes, (range.first + range.count - 1) * term.stride_bytes);
    }
    return end;
  }

  const TileProgram& program_;
  const CtaGroup& group_;
  const CtaClass& class_;
  const Role& role_;
  VarRanges ranges_;
  std::vector<std::size_t> open_;
  std::uint64_t runs_ = 1;  // of the current operation, per CTA
  std::vector<PipeUse> uses_;
};

void require(const TileProgram& program, bool holds, std::string_view what) {
  if (!holds) throw std::logic_error(fmt::format("tile program {}: {}", program.name, what));
}

// Every stage that is filled is waited for by each consumer and released by all of them.
void check_pipe(const TileProgram& program, const Pipe& pipe, const std::vector<PipeUse>& roles) {
  std::uint64_t committed = 0, released = 0;
  for (const PipeUse& use : roles) {
    require(program, use.acquired == use.committed, "pipe " + pipe.name + ": stages acquired and committed differ");
    require(program, use.waited == use.released, "pipe " + pipe.name + ": stages waited for and released differ");
    committed += use.committed;
    released += use.released;
  }
  for (const PipeUse& use : roles) {
    require(program, use.waited == 0 || use.waited == committed,
            "pipe " + pipe.name + ": a consumer does not wait for every stage that is committed");
  }
  require(program, pipe.stages > 0, "pipe " + pipe.name + " has no stages");
  require(program, released == committed * pipe.consumers,
          "pipe " + pipe.name + ": releases are not commits times consumers");
}

void check_group(const TileProgram& program, const CtaGroup& group) {
  require(program, group.cta_class < program.classes.size(), "a group names a class that does not exist");
  require(program, group.count() > 0, "a group has no CTAs");
  require(program, group.count() % program.cluster_size == 0, "the cluster size does not divide a group's CTAs");
  require(program, std::all_of(group.origin.begin(), group.origin.end(), [](std::int64_t o) { return o >= 0; }),
          "a group starts at a negative coordinate");
  const CtaClass& cta_class = program.classes[group.cta_class];
  require(program, cta_class.pipes.size() <= 16, "a class has more than 16 pipes");
  std::vector<std::vector<PipeUse>> by_pipe(cta_class.pipes.size());
  std::uint64_t warps = 0;
  for (const Role& role : cta_class.roles) {
    warps += role.warps;
    const std::vector<PipeUse> uses = RoleCheck(program, group, cta_class, role).run();
    for (std::size_t i = 0; i < uses.size(); ++i) by_pipe[i].push_back(uses[i]);
  }
  require(program, warps > 0 && warps * 32 <= program.threads_per_cta, "the roles have more warps than the CTA");
  for (std::size_t i = 0; i < by_pipe.size(); ++i) check_pipe(program, cta_class.pipes[i], by_pipe[i]);
}

}  // namespace

void check(const TileProgram& program) {
  require(program, !program.groups.empty(), "there are no CTAs");
  require(program, program.cluster_size > 0, "the cluster size is zero");
  for (const CtaGroup& group : program.groups) check_group(program, group);
  // A class without CTAs has no work from which its timeline could be told.
  for (std::size_t i = 0; i < program.classes.size(); ++i) {
    require(
        program,
        std::any_of(program.groups.begin(), program.groups.end(), [&](const CtaGroup& g) { return g.cta_class == i; }),
        "no group uses class " + program.classes[i].name);
  }
}

}  // namespace lightcone::hardware
