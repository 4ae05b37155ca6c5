// SPDX-License-Identifier: Apache-2.0
// What each macro-operation does on the SM: which unit it takes, for how long, and what it waits for.
#include <algorithm>
#include <bit>

#include "hardware/parts/streaming_multiprocessor.h"

namespace lightcone::hardware {

namespace {
// The first iterations of a loop fill the pipeline; the time of one iteration is taken from those after them.
constexpr std::int64_t kSettlingIterations = 4;

std::int64_t& value(RoleState& role, std::uint8_t loop) {
  return role.values[static_cast<std::size_t>(loop == 0 ? Var::loop0 : Var::loop1)];
}
std::uint32_t counter_index(const RoleState& role, std::uint32_t base, Var var, std::uint32_t stride) {
  return base + static_cast<std::uint32_t>(role.values[static_cast<std::size_t>(var)]) * stride;
}
}  // namespace

// `cycles` of a unit of the whole SM, done by some of the sub-partitions: those that the role's warps live on.
double StreamingMultiprocessor::serve(Partitions& servers, std::uint8_t on, double now, double cycles) {
  const double share = cycles * spec_.sub_partitions / std::popcount(on);
  double end = now;
  for (std::size_t s = 0; s < spec_.sub_partitions; ++s) {
    if ((on & (1u << s)) != 0) end = std::max(end, servers[s].serve(now, share));
  }
  return end;
}

// These sub-partitions' servers stand still for that long, without doing anything.
void StreamingMultiprocessor::hold(Partitions& servers, std::uint8_t on, double now, double cycles) {
  const double share = cycles * spec_.sub_partitions / std::popcount(on);
  for (std::size_t s = 0; s < spec_.sub_partitions; ++s) {
    if ((on & (1u << s)) != 0) servers[s].hold_until(std::max(servers[s].free_at(), now) + share);
  }
}

// ---- Loops ---------------------------------------------------------------------------------------------------

auto StreamingMultiprocessor::execute(engine::Cycle, ResidentCta& cta, RoleState& role, const LoopBegin& op) -> Step {
  const CtaGroup& group = gpu_.program.groups[cta.items[role.item - cta.first_item].group];
  const LoopRange& range = group.loops[op.loop];
  value(role, op.loop) = range.first;
  if (range.count <= 0) {
    role.pc = role.loop_end[role.pc];
    return Step::next;
  }
  role.iterations_left[op.loop] = range.count;
  role.iterations_done[op.loop] = 0;
  role.loop_start[op.loop] = role.pc;
  role.loop_stack[role.loop_depth++] = op.loop;
  return Step::next;
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const LoopEnd&) -> Step {
  const std::uint8_t loop = role.loop_stack[role.loop_depth - 1u];
  ++value(role, loop);
  const std::int64_t done = ++role.iterations_done[loop];
  if (done == kSettlingIterations) role.settled = static_cast<double>(now);
  if (done == CtaScheduler::kLoopHead) {
    const std::int64_t skip = iterations_to_skip(cta, role);
    role.iterations_left[loop] -= skip;
    value(role, loop) += skip;
  }
  if (--role.iterations_left[loop] > 0) {
    role.pc = role.loop_start[loop];
  } else {
    --role.loop_depth;
    if (role.loop_depth == 0 && done >= 2 * kSettlingIterations) {
      role.period = (static_cast<double>(now) - role.settled) / static_cast<double>(done - kSettlingIterations);
    }
  }
  return Step::next;
}

// ---- Pipes ---------------------------------------------------------------------------------------------------

auto StreamingMultiprocessor::execute(engine::Cycle, ResidentCta& cta, RoleState& role, const AcquireStage& op)
    -> Step {
  PipeState& pipe = cta.pipes[op.pipe];
  const std::uint64_t n = role.acquired[op.pipe];
  const std::size_t stage = n % pipe.pending.size();
  if (pipe.releases[stage] < cta.cta_class->pipes[op.pipe].consumers * (n / pipe.pending.size())) {
    role.waiting_pipe = op.pipe;
    return block(role, Waiting::empty_stage);
  }
  ++role.acquired[op.pipe];
  pipe.pending[stage] = 1;
  return Step::next;
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const CommitStage& op)
    -> Step {
  PipeState& pipe = cta.pipes[op.pipe];
  const std::size_t stage = (role.acquired[op.pipe] - 1) % pipe.pending.size();
  if (--pipe.pending[stage] == 0) stage_filled(now, cta, op.pipe, stage);
  return Step::next;
}

void StreamingMultiprocessor::stage_filled(engine::Cycle now, ResidentCta& cta, std::size_t pipe, std::size_t stage) {
  ++cta.pipes[pipe].fills[stage];
  wake_waiting(now, cta, Waiting::full_stage, pipe);
}

auto StreamingMultiprocessor::execute(engine::Cycle, ResidentCta& cta, RoleState& role, const WaitStage& op) -> Step {
  PipeState& pipe = cta.pipes[op.pipe];
  const std::uint64_t n = role.waited[op.pipe];
  if (pipe.fills[n % pipe.fills.size()] <= n / pipe.fills.size()) {
    role.waiting_pipe = op.pipe;
    return block(role, Waiting::full_stage);
  }
  ++role.waited[op.pipe];
  return Step::next;
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const ReleaseStage& op)
    -> Step {
  PipeState& pipe = cta.pipes[op.pipe];
  const std::size_t stage = role.released[op.pipe]++ % pipe.releases.size();
  if (++pipe.releases[stage] % cta.cta_class->pipes[op.pipe].consumers == 0) {
    wake_waiting(now, cta, Waiting::empty_stage, op.pipe);
  }
  return Step::next;
}

// ---- Global memory -------------------------------------------------------------------------------------------

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const LoadTile& op)
    -> Step {
  PipeState& pipe = cta.pipes[op.pipe];
  if (start_transfer(now, cta, role, op.box, op.path, false, op.pipe, op.multicast)) {
    ++pipe.pending[(role.acquired[op.pipe] - 1) % pipe.pending.size()];
  }
  return Step::next;
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const GlobalLoad& op)
    -> Step {
  if (start_transfer(now, cta, role, op.box, CopyPath::lsu, false, -1, 1)) ++role.loads_under_way;
  return Step::next;
}

auto StreamingMultiprocessor::execute(engine::Cycle, ResidentCta&, RoleState& role, const WaitLoads&) -> Step {
  role.waiting_pipe = 0;
  return role.loads_under_way == 0 ? Step::next : block(role, Waiting::loads);
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const GlobalStore& op)
    -> Step {
  start_transfer(now, cta, role, op.box, op.path, true, -1, 1, op.segment_bytes);
  return Step::next;
}

auto StreamingMultiprocessor::execute(engine::Cycle, ResidentCta&, RoleState& role, const WaitStores&) -> Step {
  role.waiting_pipe = 0;
  return role.stores_to_send == 0 ? Step::next : block(role, Waiting::stores);
}

// ---- Execution units -----------------------------------------------------------------------------------------

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta&, RoleState& role, const Mma& op) -> Step {
  const auto rate = spec_.tensor.flops_per_clock.find(op.format);
  LIGHTCONE_ASSERT(rate != spec_.tensor.flops_per_clock.end());
  const double flops = 2.0 * op.m * op.n * op.k;
  const auto time = static_cast<double>(now);
  const double cycles = flops / (rate->second * spec_.tensor.issue_efficiency);
  // From tcgen05 on one thread drives the tensor cores of the whole SM; before, each warp that of its sub-partition.
  const auto everywhere = static_cast<std::uint8_t>((1u << spec_.sub_partitions) - 1);
  const bool by_one_thread = spec_.tensor.generation == TensorCoreGeneration::tcgen05;
  const double computed = serve(tensor_, by_one_thread ? everywhere : role.partitions, time, cycles);
  hold(sfu_, by_one_thread ? everywhere : role.partitions, time, spec_.tensor.special_hold * cycles);
  const auto bytes = static_cast<double>(op.shared_read_bytes);
  const double fed = shared_.serve(time, bytes / spec_.shared_bytes_per_clock);
  role.mma_ends.push_back(std::max(computed, fed) + spec_.tensor.latency.real());
  work_.mma_flops[static_cast<std::size_t>(op.format)] += flops;
  work_.mma_useful += useful_flops(op, role.values).real();
  work_.shared_bytes += bytes;
  return Step::next;
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const MmaWait& op) -> Step {
  while (!role.mma_ends.empty() && role.mma_ends.front() <= static_cast<double>(now)) role.mma_ends.pop_front();
  if (role.mma_ends.size() <= op.allowed_in_flight) return Step::next;
  return sleep_until(now, cta, role, role.mma_ends[role.mma_ends.size() - 1 - op.allowed_in_flight], Waiting::unit);
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const VectorWork& op)
    -> Step {
  const auto time = static_cast<double>(now);
  const auto fp32 = static_cast<double>(op.fp32_ops), ints = static_cast<double>(op.int_ops),
             sfu = static_cast<double>(op.sfu_ops);
  // Special-function lanes may stand still without any work: who has none for them does not wait.
  const double special = sfu > 0 ? serve(sfu_, role.partitions, time, sfu / spec_.sfu_lanes) : time;
  const double end = std::max({serve(fp32_, role.partitions, time, fp32 / spec_.fp32_lanes),
                               serve(int_, role.partitions, time, ints / spec_.int_lanes), special,
                               serve(issue_, role.partitions, time, (fp32 + ints + sfu) / 32 / spec_.issue_slots)});
  work_.fp32_ops += fp32 + ints;
  work_.sfu_ops += sfu;
  work_.vector_flops += static_cast<double>(op.fp32_flops);
  return sleep_until(now, cta, role, end + static_cast<double>(op.dependent_cycles), Waiting::unit);
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const SharedAccess& op)
    -> Step {
  const auto bytes = static_cast<double>(op.read_bytes + op.write_bytes);
  const double end = shared_.serve(static_cast<double>(now), bytes / spec_.shared_bytes_per_clock);
  work_.shared_bytes += bytes;
  return sleep_until(now, cta, role, end + spec_.shared_latency.real(), Waiting::unit);
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const Delay& op) -> Step {
  return sleep_until(now, cta, role, static_cast<double>(now + op.cycles), Waiting::unit);
}

// ---- Order between roles and between CTAs --------------------------------------------------------------------

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const CtaBarrier& op)
    -> Step {
  BarrierState& barrier = cta.barriers[op.id];
  if (role.at_barrier) {
    if (barrier.generation == role.barrier_generation) return block(role, Waiting::barrier);
    role.at_barrier = false;
    return Step::next;
  }
  if (++barrier.arrived < barrier.participants) {
    role.at_barrier = true;
    role.barrier_generation = barrier.generation;
    return block(role, Waiting::barrier);
  }
  barrier.arrived = 0;
  ++barrier.generation;
  wake_waiting(now, cta, Waiting::barrier, 0);
  return sleep_until(now, cta, role, static_cast<double>(now) + spec_.barrier_latency.real(), Waiting::unit);
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const Signal& op) -> Step {
  GridCounters::Counter& counter =
      gpu_.counters.counters[counter_index(role, op.counter_base, op.counter_var, op.counter_stride)];
  ++counter.value;
  // Atomics on one address follow each other at their slice.
  const double arrived = static_cast<double>(now) + gpu_.crossbar.request_latency();
  const double taken = std::max(arrived, counter.free);
  const double visible = taken + gpu_.gpu.l2.hit_latency.real();
  counter.free = taken + gpu_.gpu.l2.same_address_atomic.real();
  auto& waiters = counter.waiters;
  for (std::size_t i = 0; i < waiters.size();) {
    if (waiters[i].count > counter.value) {
      ++i;
      continue;
    }
    gpu_.wheel.send(now, visible_at(visible, now),
                    Message{MessageKind::role_wake, waiters[i].sm, waiters[i].slot * 16 + waiters[i].role, {}});
    waiters.erase(waiters.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return sleep_until(now, cta, role, visible + gpu_.crossbar.response_latency(), Waiting::signal);
}

auto StreamingMultiprocessor::execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const AwaitSignal& op)
    -> Step {
  GridCounters::Counter& counter =
      gpu_.counters.counters[counter_index(role, op.counter_base, op.counter_var, op.counter_stride)];
  if (counter.value < op.count) {
    counter.waiters.push_back({index_, cta.slot, role.number, op.count});
    return block(role, Waiting::signal);
  }
  // One polling read that sees the counter.
  const double poll = spec_.l1_latency.real() + gpu_.crossbar.request_latency() + gpu_.gpu.l2.hit_latency.real() +
                      gpu_.crossbar.response_latency();
  return sleep_until(now, cta, role, static_cast<double>(now) + poll, Waiting::signal);
}

}  // namespace lightcone::hardware
