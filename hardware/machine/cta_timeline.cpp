// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/cta_timeline.h"

#include <algorithm>
#include <limits>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

constexpr double kLine = 128;
constexpr double kWarp = 32;
constexpr double kNever = std::numeric_limits<double>::infinity();

// Share of the SM's four sub-partitions that the role's warps can use.
double reach(const Role& role, const SmSpec& sm) {
  return std::min(1.0, role.warps / static_cast<double>(sm.sub_partitions));
}

double mma_rate(NumberFormat format, const Role& role, const SmSpec& sm) {
  const auto rate = sm.tensor.flops_per_clock.find(format);
  LIGHTCONE_ASSERT(rate != sm.tensor.flops_per_clock.end());
  // One thread drives the whole tensor core from tcgen05 on; before, each warp drives its sub-partition's.
  const double share = sm.tensor.generation == TensorCoreGeneration::tcgen05 ? 1.0 : reach(role, sm);
  return rate->second * sm.tensor.issue_efficiency * share;
}

}  // namespace

CtaTimeline::CtaTimeline(const TileProgram& program, const CtaClass& cta_class, const std::vector<Access>& accesses,
                         const SmView& sm)
    : sm_(sm), pipes_(cta_class.pipes), items_(program.persistent ? 2 : 1) {
  std::size_t access = 0;
  std::uint32_t stages = 1;
  for (const Pipe& pipe : pipes_) stages = std::max(stages, pipe.stages);
  span_ = std::min<std::int64_t>(stages, 8);
  cap_ = 2 * span_ + 2;
  for (const Role& role : cta_class.roles) {
    std::vector<Step> steps;
    steps.reserve(role.ops.size());
    std::array<bool, 256> listed{};
    bool in_outer = false;
    std::array<bool, 2> loops{};
    for (const Op& op : role.ops) {
      steps.push_back(translate(op, role, accesses, access));
      const Step& step = steps.back();
      if (step.kind == Kind::loop_begin) loops[step.index] = true;
      if (step.kind == Kind::loop_begin && step.index == 0) in_outer = true;
      if (step.kind == Kind::loop_begin && step.index == 1) nested_ = nested_ || in_outer;
      if (step.kind == Kind::loop_end && step.index == 0) in_outer = false;
      if (step.kind == Kind::barrier && !listed[step.index]) {
        listed[step.index] = true;
        ++barrier_parties_[step.index];
      }
    }
    roles_.push_back(std::move(steps));
    if (!loops[0] && !loops[1]) continue;
    coupled_ = coupled_ || ((used_[0] || used_[1]) && loops != used_);
    used_ = {used_[0] || loops[0], used_[1] || loops[1]};
  }
}

// Works out the durations of one operation. `access` counts the loads and stores passed so far.
CtaTimeline::Step CtaTimeline::translate(const Op& op, const Role& role, const std::vector<Access>& accesses,
                                         std::size_t& access) {
  const SmSpec& sm = sm_.gpu->sm;
  // Mean bytes of one execution: tiles at the border are smaller.
  const auto bytes_of = [&](const Access& a) { return a.runs > 0 ? a.bytes / a.runs : 0; };
  const auto unit_time = [&](double received, double requested, double lines_per_clock, double in_flight,
                             double latency) {
    const double lines = requested / kLine;
    return std::max({lines / lines_per_clock, received / sm_.port_bytes_per_clock, requested / sm_.l2_bytes_per_clock,
                     lines * latency / in_flight});
  };
  const auto tile = [&](const LoadTile& load, const Access& a) {
    const bool bulk = load.path == CopyPath::bulk;
    const double latency = sm_.load_latency[a.tensor] + (bulk ? sm.copy.extra_latency.real() : 0);
    const double received = bytes_of(a);
    const double rate = bulk ? sm.copy.lines_per_clock : sm.l1_bytes_per_clock / kLine;
    const double in_flight = bulk ? sm.copy.lines_in_flight : sm.load_lines_in_flight;
    Step step{Kind::load, load.pipe, bulk};
    const double requested = received / a.multicast;
    step.a = unit_time(load.split_over_pair ? requested : received, requested, rate, in_flight, latency);
    step.latency = latency;
    return step;
  };
  const auto plain = [&](const Access& a) {
    Step step{Kind::load_registers};
    step.latency = sm_.load_latency[a.tensor];
    step.a = unit_time(bytes_of(a), bytes_of(a), sm.l1_bytes_per_clock / kLine, sm.load_lines_in_flight, step.latency);
    return step;
  };
  const auto store = [&](const GlobalStore& s, const Access& a) {
    Step step{Kind::store, 0, s.path == CopyPath::bulk};
    const double segment = s.segment_bytes > 0 ? s.segment_bytes * sm.copy.lines_per_clock : sm.l1_bytes_per_clock;
    const double unit = s.path == CopyPath::bulk ? sm.copy.lines_per_clock * kLine : segment;
    step.a = bytes_of(a) / std::min(unit, sm_.store_bytes_per_clock);
    step.latency = sm_.store_latency;
    return step;
  };
  const auto vector = [&](const VectorWork& work) {
    const double part = reach(role, sm);
    const auto time = [&](double ops, double per_clock) { return ops > 0 ? ops / (per_clock * part) : 0; };
    const auto fp32 = static_cast<double>(work.fp32_ops), integer = static_cast<double>(work.int_ops);
    const auto sfu = static_cast<double>(work.sfu_ops);
    Step step{Kind::vector};
    step.a = std::max(
        {time(fp32, sm.fp32_lanes), time(integer, sm.int_lanes), time((fp32 + integer + sfu) / kWarp, sm.issue_slots)});
    step.b = time(sfu, sm.sfu_lanes);
    step.latency = static_cast<double>(work.dependent_cycles);
    return step;
  };
  struct Translate {
    decltype(tile)& tile_;
    decltype(plain)& plain_;
    decltype(store)& store_;
    decltype(vector)& vector_;
    const SmView& view;
    const Role& role;
    const std::vector<Access>& accesses;
    std::size_t& access;
    std::array<std::uint8_t, 2>& open;
    std::size_t& depth;

    Step operator()(const LoopBegin& o) {
      open[depth++] = o.loop;
      return {Kind::loop_begin, o.loop};
    }
    Step operator()(const LoopEnd&) { return {Kind::loop_end, open[--depth]}; }
    Step operator()(const AcquireStage& o) { return {Kind::acquire, o.pipe}; }
    Step operator()(const CommitStage& o) { return {Kind::commit, o.pipe}; }
    Step operator()(const WaitStage& o) { return {Kind::wait, o.pipe}; }
    Step operator()(const ReleaseStage& o) { return {Kind::release, o.pipe}; }
    Step operator()(const LoadTile& o) { return tile_(o, accesses[access++]); }
    Step operator()(const GlobalLoad&) { return plain_(accesses[access++]); }
    Step operator()(const WaitLoads&) { return {Kind::wait_loads}; }
    Step operator()(const GlobalStore& o) { return store_(o, accesses[access++]); }
    Step operator()(const WaitStores&) { return {Kind::wait_stores}; }
    Step operator()(const Mma& o) {
      const SmSpec& spec = view.gpu->sm;
      Step step{Kind::mma};
      step.a = std::max(2.0 * o.m * o.n * o.k / mma_rate(o.format, role, spec),
                        static_cast<double>(o.shared_read_bytes) / spec.shared_bytes_per_clock);
      step.b = spec.tensor.special_hold * 2.0 * o.m * o.n * o.k / mma_rate(o.format, role, spec);
      step.latency = spec.tensor.latency.real();
      return step;
    }
    Step operator()(const MmaWait& o) { return {Kind::mma_wait, o.allowed_in_flight}; }
    Step operator()(const VectorWork& o) { return vector_(o); }
    Step operator()(const SharedAccess& o) {
      const SmSpec& spec = view.gpu->sm;
      Step step{Kind::shared};
      step.a = static_cast<double>(o.read_bytes + o.write_bytes) / spec.shared_bytes_per_clock;
      step.latency = spec.shared_latency.real();
      return step;
    }
    Step operator()(const CtaBarrier& o) { return {Kind::barrier, o.id}; }
    // A semaphore costs its round trip; waiting for the other CTAs is the schedule's business.
    Step operator()(const Signal&) { return {Kind::delay, 0, false, view.store_latency}; }
    Step operator()(const AwaitSignal&) { return {Kind::delay, 0, false, view.l2_latency}; }
    Step operator()(const Delay& o) { return {Kind::delay, 0, false, static_cast<double>(o.cycles)}; }
  };
  return std::visit(Translate{tile, plain, store, vector, sm_, role, accesses, access, open_, depth_}, op);
}

// The state of one played CTA.
struct CtaTimeline::Play {
  struct RoleState {
    const std::vector<Step>* steps = nullptr;
    std::size_t next = 0;
    std::size_t item = 0;
    double now = 0;
    std::array<std::int64_t, 2> done{};        // iterations of each loop
    std::array<std::size_t, 2> body{};         // first step of each loop's body
    std::array<double, 2> marked{}, period{};  // time at the mark, and cycles per iteration since
    std::array<double, 32> mma{};              // completion times, ring
    std::size_t mma_count = 0;
    double loads = 0, stores = 0, copies = 0;  // when the last of each is done
    std::array<std::uint64_t, 16> waited{}, released{};
    std::array<std::uint16_t, 16> arrived{};  // at each barrier
  };
  struct PipeState {
    std::uint64_t acquired = 0, stages = 1, consumers = 1;
    std::vector<double> full;   // when each committed stage has landed
    std::vector<double> empty;  // when each stage's last release came
    std::vector<std::uint16_t> releases;
  };
  struct BarrierState {
    std::vector<double> last;  // latest arrival of each generation
    std::vector<std::uint16_t> count;
  };

  const CtaTimeline& line;
  const std::array<std::int64_t, 2>& counts;
  double hand_over;
  std::vector<RoleState> roles;
  std::vector<PipeState> pipes;
  std::vector<BarrierState> barriers;
  std::array<double, 2> ends{};
  double tensor = 0, lanes = 0, sfu = 0, shared = 0, lsu = 0, copy = 0;  // when each unit is free

  Play(const CtaTimeline& timeline, const std::array<std::int64_t, 2>& loop_counts)
      : line(timeline), counts(loop_counts), hand_over(timeline.sm_.gpu->sm.barrier_latency.real()) {
    roles.resize(line.roles_.size());
    for (std::size_t i = 0; i < roles.size(); ++i) roles[i].steps = &line.roles_[i];
    pipes.resize(line.pipes_.size());
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      pipes[i].stages = line.pipes_[i].stages;
      pipes[i].consumers = line.pipes_[i].consumers;
      pipes[i].full.reserve(64);
    }
    barriers.resize(16);
  }

  // When the role can go on: infinity while another role has to act first.
  double ready(const RoleState& role) const {
    if (role.item == line.items_) return kNever;
    const Step& step = (*role.steps)[role.next];
    switch (step.kind) {
      case Kind::acquire: {
        const PipeState& pipe = pipes[step.index];
        if (pipe.acquired < pipe.stages) return role.now;
        const std::size_t needed = pipe.acquired - pipe.stages;
        const bool free = needed < pipe.releases.size() && pipe.releases[needed] == pipe.consumers;
        return free ? std::max(role.now, pipe.empty[needed] + hand_over) : kNever;
      }
      case Kind::wait: {
        const PipeState& pipe = pipes[step.index];
        const std::size_t needed = role.waited[step.index];
        return needed < pipe.full.size() ? std::max(role.now, pipe.full[needed] + hand_over) : kNever;
      }
      case Kind::barrier: {
        // Arrived already: wait for the others. Not yet: arriving is always possible.
        const BarrierState& barrier = barriers[step.index];
        const std::uint16_t generation = role.arrived[step.index];
        if (!(generation & 1u)) return role.now;
        const std::size_t g = generation / 2u;
        return barrier.count[g] == line.barrier_parties_[step.index] ? std::max(role.now, barrier.last[g] + hand_over)
                                                                     : kNever;
      }
      default:
        return role.now;
    }
  }

  static double serve(double& unit, double from, double duration) { return unit = std::max(unit, from) + duration; }

  void release(PipeState& pipe, std::uint64_t number, double now) {
    if (pipe.releases.size() <= number) {
      pipe.releases.resize(number + 8);
      pipe.empty.resize(number + 8);
    }
    ++pipe.releases[number];
    pipe.empty[number] = std::max(pipe.empty[number], now);
  }

  // Returns false when the role has to stay at this step (a barrier it has arrived at).
  bool meet(RoleState& role, std::uint8_t id) {
    BarrierState& barrier = barriers[id];
    std::uint16_t& arrived = role.arrived[id];
    const bool was_waiting = (arrived & 1u) != 0;
    const std::size_t generation = arrived / 2u;
    ++arrived;
    if (was_waiting) return true;
    if (barrier.count.size() <= generation) {
      barrier.count.resize(generation + 8);
      barrier.last.resize(generation + 8);
    }
    ++barrier.count[generation];
    barrier.last[generation] = std::max(barrier.last[generation], role.now);
    return false;
  }

  void end_loop(RoleState& role, std::uint8_t loop) {
    const std::int64_t iterations = ++role.done[loop];
    const std::int64_t mark = line.cap_ - line.span_;
    if (role.item == 0 && iterations == mark) role.marked[loop] = role.now;
    if (role.item == 0 && iterations == line.cap_) {
      role.period[loop] = (role.now - role.marked[loop]) / static_cast<double>(line.span_);
    }
    if (iterations < counts[loop]) role.next = role.body[loop];
  }

  void begin_loop(RoleState& role, std::uint8_t loop) {
    role.done[loop] = 0;
    role.body[loop] = role.next;
    if (counts[loop] > 0) return;
    while ((*role.steps)[role.next].kind != Kind::loop_end || (*role.steps)[role.next].index != loop) ++role.next;
    ++role.next;
  }

  void copy_in(RoleState& role, const Step& step) {
    const double landed = serve(step.bulk ? copy : lsu, role.now, step.a) + step.latency;
    role.copies = std::max(role.copies, landed);
    // Without a copy engine the role's own warps issue the requests.
    if (!step.bulk || !line.sm_.gpu->sm.copy.tma) role.now = std::max(role.now, step.bulk ? copy : lsu);
  }

  void store(RoleState& role, const Step& step) {
    const double sent = serve(step.bulk ? copy : lsu, role.now, step.a);
    role.stores = std::max(role.stores, sent + step.latency);
    if (!step.bulk) role.now = sent;
  }

  double last_mma(const RoleState& role, std::size_t allowed) const {
    if (role.mma_count <= allowed) return 0;
    return role.mma[(role.mma_count - 1 - allowed) % role.mma.size()];
  }

  void perform(RoleState& role) {
    const Step& step = (*role.steps)[role.next];
    role.now = ready(role);
    if (step.kind == Kind::barrier && !meet(role, step.index)) return;
    ++role.next;
    switch (step.kind) {
      case Kind::loop_begin:
        begin_loop(role, step.index);
        break;
      case Kind::loop_end:
        end_loop(role, step.index);
        break;
      case Kind::acquire:
        ++pipes[step.index].acquired;
        role.copies = role.now;
        break;
      case Kind::commit:
        pipes[step.index].full.push_back(std::max(role.now, role.copies));
        break;
      case Kind::wait:
        ++role.waited[step.index];
        break;
      case Kind::release:
        release(pipes[step.index], role.released[step.index]++, role.now);
        break;
      case Kind::load:
        copy_in(role, step);
        break;
      case Kind::load_registers:
        role.now = serve(lsu, role.now, step.a);
        role.loads = std::max(role.loads, role.now + step.latency);
        break;
      case Kind::wait_loads:
        role.now = std::max(role.now, role.loads);
        break;
      case Kind::store:
        store(role, step);
        break;
      case Kind::wait_stores:
        role.now = std::max(role.now, role.stores);
        break;
      case Kind::mma:
        role.mma[role.mma_count++ % role.mma.size()] = serve(tensor, role.now, step.a) + step.latency;
        serve(sfu, role.now, step.b);
        break;
      case Kind::mma_wait:
        role.now = std::max(role.now, last_mma(role, step.index));
        break;
      case Kind::vector:
        role.now =
            std::max(serve(lanes, role.now, step.a), step.b > 0 ? serve(sfu, role.now, step.b) : 0) + step.latency;
        break;
      case Kind::shared:
        role.now = serve(shared, role.now, step.a) + step.latency;
        break;
      case Kind::barrier:
        break;
      case Kind::delay:
        role.now += step.a;
        break;
    }
    if (role.next == role.steps->size()) end_item(role);
  }

  void end_item(RoleState& role) {
    const double end = std::max({role.now, role.stores, role.loads, last_mma(role, 0)});
    ends[role.item] = std::max(ends[role.item], end);
    ++role.item;
    role.next = 0;
  }

  void run() {
    for (RoleState& role : roles) {
      while (role.item < line.items_ && role.steps->empty()) ++role.item;
    }
    for (;;) {
      RoleState* first = nullptr;
      double earliest = kNever;
      for (RoleState& role : roles) {
        const double at = ready(role);
        if (at < earliest) {
          earliest = at;
          first = &role;
        }
      }
      if (first == nullptr) break;
      perform(*first);
    }
    for (const RoleState& role : roles) LIGHTCONE_ASSERT(role.item == line.items_);  // else: the program deadlocks
  }
};

const CtaTimeline::Played& CtaTimeline::played(const std::array<std::int64_t, 2>& counts) {
  for (const Played& known : memory_) {
    if (known.counts == counts) return known;
  }
  Play play(*this, counts);
  play.run();
  const double second = items_ == 2 ? std::max(0.0, play.ends[1] - play.ends[0]) : play.ends[0];
  Played result{counts, play.ends[0], second, {}, {}};
  for (const Play::RoleState& role : play.roles) {
    result.role_period.push_back(role.period);
    for (std::size_t loop = 0; loop < 2; ++loop) {
      result.period[loop] = std::max(result.period[loop], role.period[loop]);
    }
  }
  memory_.push_back(result);
  return memory_.back();
}

// How many iterations of each loop are played; the rest follow from the period. Where one role runs loop 0 and another
// loop 1 over the same stages, both are shortened by the same number: else one would wait for stages for ever.
std::array<std::int64_t, 2> CtaTimeline::counts_to_play(const std::array<LoopRange, 2>& loops) const {
  if (!coupled_) return {std::min(loops[0].count, cap_), std::min(loops[1].count, cap_)};
  std::int64_t cut = std::numeric_limits<std::int64_t>::max();
  for (std::size_t loop = 0; loop < 2; ++loop) {
    if (used_[loop]) cut = std::min(cut, std::max<std::int64_t>(0, loops[loop].count - cap_));
  }
  return {loops[0].count - (used_[0] ? cut : 0), loops[1].count - (used_[1] ? cut : 0)};
}

CtaTime CtaTimeline::time(const std::array<LoopRange, 2>& loops) {
  const std::array<std::int64_t, 2> counts = counts_to_play(loops);
  const Played& known = played(counts);
  const auto more0 = static_cast<double>(loops[0].count - counts[0]);
  const auto more1 = static_cast<double>(loops[1].count - counts[1]);
  double added = 0;
  if (nested_) {
    // Each outer iteration, played or not, has the inner iterations that were left out.
    added = more0 * known.period[0] + static_cast<double>(loops[0].count) * more1 * known.period[1];
  } else {
    // Loops of one role follow each other; those of different roles run side by side.
    for (const auto& period : known.role_period) added = std::max(added, more0 * period[0] + more1 * period[1]);
  }
  return {known.first + added, known.second + added};
}

}  // namespace lightcone::hardware
