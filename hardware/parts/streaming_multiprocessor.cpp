// SPDX-License-Identifier: Apache-2.0
// Life of a CTA on an SM: launch, roles that run until they wait, items that finish. What each macro-operation does is
// in sm_execute.cpp, how boxes travel in sm_transfers.cpp.
#include "hardware/parts/streaming_multiprocessor.h"

#include <algorithm>

namespace lightcone::hardware {

namespace {

// For each LoopBegin of a role, where its LoopEnd is.
std::vector<std::uint32_t> match_loops(const Role& role) {
  std::vector<std::uint32_t> end(role.ops.size(), 0);
  std::vector<std::uint32_t> open;
  for (std::uint32_t pc = 0; pc < role.ops.size(); ++pc) {
    if (std::holds_alternative<LoopBegin>(role.ops[pc])) open.push_back(pc);
    if (std::holds_alternative<LoopEnd>(role.ops[pc])) {
      LIGHTCONE_ASSERT(!open.empty());
      end[open.back()] = pc;
      open.pop_back();
    }
  }
  LIGHTCONE_ASSERT(open.empty());
  return end;
}

// Sub-partitions that warps first .. first + count - 1 live on: warp w on partition w mod `partitions`.
std::uint8_t partition_mask(std::uint32_t first, std::uint32_t count, std::uint32_t partitions) {
  std::uint8_t mask = 0;
  for (std::uint32_t w = first; w < first + std::min(count, partitions); ++w)
    mask = static_cast<std::uint8_t>(mask | (1u << (w % partitions)));
  return mask;
}

std::vector<BarrierState> barriers_of(const CtaClass& cta_class) {
  std::vector<BarrierState> barriers;
  for (const Role& role : cta_class.roles) {
    std::vector<bool> seen(256, false);
    for (const Op& op : role.ops) {
      const auto* barrier = std::get_if<CtaBarrier>(&op);
      if (barrier == nullptr || seen[barrier->id]) continue;
      seen[barrier->id] = true;
      if (barriers.size() <= barrier->id) barriers.resize(barrier->id + std::size_t{1});
      ++barriers[barrier->id].participants;
    }
  }
  return barriers;
}

std::uint32_t l1_sets(const SmSpec& sm, const TileProgram& program, std::uint32_t resident) {
  const std::uint64_t taken = program.shared_memory_per_cta.count() * resident;
  const std::uint64_t whole = sm.l1_and_shared.count();
  const std::uint64_t left = whole > taken + 4096 ? whole - taken : 4096;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(left / 128 / 4, 1));
}

}  // namespace

StreamingMultiprocessor::StreamingMultiprocessor(std::uint16_t index, std::uint32_t resident,
                                                 SmSurroundings surroundings)
    : index_(index),
      // Neighbouring SMs (a TPC, a cluster pair) are on the same side of the die.
      partition_((index / 2u) % surroundings.gpu.l2.partitions),
      gpu_(surroundings),
      spec_(surroundings.gpu.sm),
      l1_(l1_sets(spec_, surroundings.program, resident), 4) {
  LIGHTCONE_ASSERT(spec_.sub_partitions >= 1 && spec_.sub_partitions <= kMostSubPartitions);
  bulk_.limit = spec_.copy.lines_in_flight;
  loads_.limit = spec_.load_lines_in_flight;
  stores_.limit = spec_.load_lines_in_flight;
  for (std::uint32_t slot = 0; slot < resident; ++slot) {
    slots_.push_back(std::make_unique<ResidentCta>());
    slots_.back()->slot = slot;
  }
}

void StreamingMultiprocessor::launch(engine::Cycle now, std::uint32_t slot) {
  account(now);
  const std::optional<WorkItem> item = gpu_.scheduler.next();
  if (!item) return;
  ResidentCta& cta = *slots_[slot];
  cta.items.assign(1, *item);
  cta.first_item = 0;
  cta.no_more = false;
  cta.starting = true;
  cta.period.assign(1, 0);
  gpu_.scheduler.started(global_slot(slot), now);
  ++resident_now_;
  const double start =
      gpu_.dispatch.serve(static_cast<double>(now), gpu_.gpu.launch.cta_dispatch_cycles) + spec_.cta_launch.real();
  gpu_.wheel.send(now, visible_at(start, now), Message{MessageKind::cta_start, index_, slot, {}});
}

void StreamingMultiprocessor::on_cta_start(engine::Cycle now, std::uint32_t slot) {
  account(now);
  ResidentCta& cta = *slots_[slot];
  cta.starting = false;
  cta.cta_class = &gpu_.program.classes[gpu_.program.groups[cta.items.front().group].cta_class];
  const CtaClass& c = *cta.cta_class;
  cta.roles_left.assign(1, static_cast<std::uint32_t>(c.roles.size()));
  cta.barriers = barriers_of(c);
  cta.pipes.clear();
  for (const Pipe& pipe : c.pipes) {
    cta.pipes.push_back(PipeState{std::vector<std::uint32_t>(pipe.stages, 0),
                                  std::vector<std::uint64_t>(pipe.stages, 0),
                                  std::vector<std::uint64_t>(pipe.stages, 0)});
  }
  cta.roles.assign(c.roles.size(), RoleState{});
  std::uint32_t first_warp = slot;  // CTAs on one SM start on different sub-partitions
  for (std::uint32_t r = 0; r < c.roles.size(); ++r) {
    RoleState& role = cta.roles[r];
    role.number = r;
    role.partitions = partition_mask(first_warp, c.roles[r].warps, spec_.sub_partitions);
    first_warp += c.roles[r].warps;
    role.acquired.assign(c.pipes.size(), 0);
    role.waited.assign(c.pipes.size(), 0);
    role.released.assign(c.pipes.size(), 0);
    begin_item(now, cta, role);
  }
  for (std::uint32_t r = 0; r < c.roles.size(); ++r) run(now, slot, r);
}

void StreamingMultiprocessor::begin_item(engine::Cycle, ResidentCta& cta, RoleState& role) {
  const WorkItem& item = cta.items[role.item - cta.first_item];
  const CtaGroup& group = gpu_.program.groups[item.group];
  const Role& program = gpu_.program.classes[group.cta_class].roles[role.number];
  if (role.program != &program) {
    role.program = &program;
    role.loop_end = match_loops(program);
  }
  role.finished = false;
  role.pc = 0;
  role.loop_depth = 0;
  role.period = 0;
  role.values = VarValues{};
  for (std::size_t c = 0; c < 4; ++c) role.values[static_cast<std::size_t>(Var::cta0) + c] = item.coordinates[c];
  role.values[static_cast<std::size_t>(Var::loop0)] = group.loops[0].first;
  role.values[static_cast<std::size_t>(Var::loop1)] = group.loops[1].first;
}

void StreamingMultiprocessor::run(engine::Cycle now, std::uint32_t slot, std::uint32_t number) {
  ResidentCta& cta = *slots_[slot];
  RoleState& role = cta.roles[number];
  while (!role.finished) {
    if (role.pc == role.program->ops.size()) {
      if (role.stores_to_send > 0) {  // a CTA retires when its stores have left it
        block(role, Waiting::stores);
        return;
      }
      role_finished(now, cta, role);
      continue;
    }
    const Step step =
        std::visit([&](const auto& op) { return execute(now, cta, role, op); }, role.program->ops[role.pc]);
    if (step == Step::blocked) return;
    ++role.pc;
    if (step == Step::sleep) return;
  }
  const bool all_finished =
      std::all_of(cta.roles.begin(), cta.roles.end(), [](const RoleState& r) { return r.finished; });
  if (!all_finished) return;
  --resident_now_;
  if (!gpu_.program.persistent) launch(now, slot);
}

void StreamingMultiprocessor::role_finished(engine::Cycle now, ResidentCta& cta, RoleState& role) {
  const std::size_t place = role.item - cta.first_item;
  if (role.period > 0) cta.period[place] = role.period;
  if (--cta.roles_left[place] == 0) {
    gpu_.scheduler.finished(global_slot(cta.slot), cta.items[place], now, cta.period[place]);
  }
  ++role.item;
  role.finished = true;
  if (!gpu_.program.persistent) return;
  if (role.item - cta.first_item == cta.items.size() && !cta.no_more) {
    if (const std::optional<WorkItem> item = gpu_.scheduler.next()) {
      cta.items.push_back(*item);
      cta.roles_left.push_back(static_cast<std::uint32_t>(cta.roles.size()));
      cta.period.push_back(0);
    } else {
      cta.no_more = true;
    }
  }
  if (role.item - cta.first_item < cta.items.size()) begin_item(now, cta, role);
  while (!cta.roles_left.empty() && cta.roles_left.front() == 0 && cta.items.size() > 1) {
    cta.items.pop_front();
    cta.roles_left.erase(cta.roles_left.begin());
    cta.period.erase(cta.period.begin());
    ++cta.first_item;
  }
}

std::int64_t StreamingMultiprocessor::iterations_to_skip(const ResidentCta& cta, const RoleState& role) const {
  const WorkItem& item = cta.items[role.item - cta.first_item];
  return gpu_.scheduler.skipped_iterations(item.group, global_slot(cta.slot), item.index < gpu_.scheduler.slots());
}

void StreamingMultiprocessor::on_role_wake(engine::Cycle now, std::uint32_t slot, std::uint32_t number) {
  account(now);
  RoleState& role = slots_[slot]->roles[number];
  role.waiting = Waiting::none;
  role.wake_sent = false;
  run(now, slot, number);
}

void StreamingMultiprocessor::wake(engine::Cycle now, std::uint32_t slot, std::uint32_t role, double at) {
  slots_[slot]->roles[role].wake_sent = true;
  gpu_.wheel.send(now, visible_at(at, now), Message{MessageKind::role_wake, index_, slot * 16 + role, {}});
}

StreamingMultiprocessor::Step StreamingMultiprocessor::sleep_until(engine::Cycle now, ResidentCta& cta, RoleState& role,
                                                                   double time, Waiting why) {
  if (time <= static_cast<double>(now)) return Step::next;
  role.waiting = why;
  wake(now, cta.slot, role.number, time);
  return Step::sleep;
}

StreamingMultiprocessor::Step StreamingMultiprocessor::block(RoleState& role, Waiting why) {
  role.waiting = why;
  return Step::blocked;
}

void StreamingMultiprocessor::wake_waiting(engine::Cycle now, ResidentCta& cta, Waiting why, std::size_t pipe) {
  for (RoleState& role : cta.roles) {
    if (role.waiting != why || role.wake_sent || (why != Waiting::barrier && role.waiting_pipe != pipe)) continue;
    wake(now, cta.slot, role.number, static_cast<double>(now) + spec_.barrier_latency.real());
  }
}

void StreamingMultiprocessor::account(engine::Cycle now) {
  const auto time = static_cast<double>(now);
  const auto latest = [this](const Partitions& servers) {
    double free = 0;
    for (std::size_t s = 0; s < spec_.sub_partitions; ++s) free = std::max(free, servers[s].free_at());
    return free;
  };
  accounting_.take(latest(tensor_), time, CycleReason::tensor);
  accounting_.take(latest(sfu_), time, CycleReason::sfu);
  accounting_.take(std::max({latest(fp32_), latest(int_), latest(issue_)}), time, CycleReason::fp32);
  accounting_.take(shared_.free_at(), time, CycleReason::shared);
  if (resident_now_ == 0) {
    accounting_.take(
        time, time,
        gpu_.scheduler.completed() == 0 && gpu_.scheduler.remaining() > 0 ? CycleReason::launch : CycleReason::idle);
    return;
  }
  accounting_.take(std::max(request_port_.free_at(), l1_limits_until_), time, CycleReason::l1);
  bool data = false, stores = false, started = false;
  for (const auto& cta : slots_) {
    for (const RoleState& role : cta->roles) {
      if (cta->starting || role.finished) continue;
      started = true;
      data = data || role.waiting == Waiting::full_stage || role.waiting == Waiting::loads;
      stores = stores || role.waiting == Waiting::stores;
    }
  }
  if (data) {
    accounting_.wait_for_data(time);
  } else {
    accounting_.take(time, time,
                     !started ? CycleReason::launch
                     : stores ? CycleReason::wait_store
                              : CycleReason::wait_barrier);
  }
}

StreamingMultiprocessor::BusyCycles StreamingMultiprocessor::busy() const {
  const auto mean = [this](const Partitions& servers) {
    double sum = 0;
    for (const Server& s : servers) sum += s.busy_cycles();
    return sum / spec_.sub_partitions;
  };
  return {mean(tensor_), std::max(mean(fp32_), mean(issue_)), mean(sfu_), shared_.busy_cycles()};
}

}  // namespace lightcone::hardware
