// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_machine.h"

#include <fmt/core.h>

#include <algorithm>

#include "hardware/parts/fabric_switch.h"
#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

constexpr std::uint64_t kFlightBit = std::uint64_t{1} << 63;

}  // namespace

MessageMachine::MessageMachine(const MessageProgram& program, const FabricSpec& fabric, MessageLayout layout)
    : program_(program), layout_(std::move(layout)), flat_(program, fabric) {
  channels_.resize(layout_.channels.size());
  for (std::size_t c = 0; c < channels_.size(); ++c) {
    const std::uint32_t from = layout_.workers[layout_.channels[c].from].worker;
    channels_[c].credits = program.classes[program.workers[from].worker_class].slots;
  }
  state_.resize(layout_.workers.size());
  unfinished_ = state_.size();
  for (std::uint32_t w = 0; w < state_.size(); ++w) {
    WorkerState& state = state_[w];
    state.at = flat_.start(program.workers[layout_.workers[w].worker].worker_class);
    state.free_ps = program.start.count();
    end_ps_ = state.free_ps;
    at(state.free_ps, w);
  }
}

// ---- Workers -----------------------------------------------------------------------------------------------------

engine::Wake MessageMachine::tick(engine::Cycle now) {
  const std::uint64_t until = now * kCyclePs;
  while (!events_.empty() && events_.first().time <= until) {
    const engine::TimedEvent event = events_.pop();
    const auto id = static_cast<std::uint32_t>(event.key);
    if ((event.key & kFlightBit) != 0) {
      fly(id, event.time);
    } else {
      run(id, event.time);
    }
  }
  if (events_.empty()) return engine::Wake::on_message();
  return engine::Wake::at((events_.first().time + kCyclePs - 1) / kCyclePs);
}

// Runs steps as long as they can begin now; then waits for a time, a message or a credit.
void MessageMachine::run(std::uint32_t worker, std::uint64_t now) {
  WorkerState& state = state_[worker];
  while (!state.at.at_end()) {
    const FlatStep& step = flat_.step(state.at);
    std::uint64_t begin = state.free_ps;
    if (!ready(worker, step, begin)) return;
    if (begin > now) {
      state.waits = Waits::event;
      return at(begin, worker);
    }
    execute(worker, step, now);
    if (state.waits == Waits::group) return;
  }
  state.waits = Waits::finished;
  --unfinished_;
  end_ps_ = std::max(end_ps_, state.free_ps);
}

// False: it is not known when; who brings it about will call. Else `at` becomes no earlier than it can be.
bool MessageMachine::ready(std::uint32_t worker, const FlatStep& step, std::uint64_t& at) {
  const LiveWorker& live = layout_.workers[worker];
  if (step.receive != kNoPeer) {
    const std::uint32_t channel = layout_.receive_channel[live.first_peer + step.receive];
    const TimeQueues::Queue& arrived = channels_[channel].arrived;
    if (arrived.empty()) {
      state_[worker].waits = Waits::message;
      return false;
    }
    at = std::max(at, times_.first(arrived));
  }
  if (step.send != kNoPeer) return credit_ready(worker, layout_.send_channel[live.first_peer + step.send], at);
  if (step.delivery == Delivery::multicast) {
    for (const std::uint32_t channel : live.multicast) {
      if (!credit_ready(worker, channel, at)) return false;
    }
  }
  return true;
}

bool MessageMachine::credit_ready(std::uint32_t worker, std::uint32_t channel, std::uint64_t& at) {
  const ChannelState& state = channels_[channel];
  if (state.credits > 0) return true;
  if (state.returned.empty()) {
    state_[worker].waits = Waits::credit;
    return false;
  }
  at = std::max(at, times_.first(state.returned));
  return true;
}

void MessageMachine::execute(std::uint32_t worker, const FlatStep& step, std::uint64_t now) {
  const LiveWorker& live = layout_.workers[worker];
  const std::uint64_t begin = now + step.lead_ps, end = begin + step.work_ps;
  state_[worker].busy_ps += end - now;
  if (step.receive != kNoPeer) times_.pop(channels_[layout_.receive_channel[live.first_peer + step.receive]].arrived);
  const auto spend = [this](std::uint32_t channel) {
    ChannelState& state = channels_[channel];
    if (state.credits > 0) {
      --state.credits;
    } else {
      times_.pop(state.returned);
    }
  };
  if (step.send != kNoPeer) {
    const std::uint32_t channel = layout_.send_channel[live.first_peer + step.send];
    spend(channel);
    return finish_step(worker, step, send(channel, step, begin, end));
  }
  if (step.delivery == Delivery::unicast) return finish_step(worker, step, end);
  const GroupWay& group = layout_.groups[program_.workers[live.worker].group];
  const std::uint32_t rank = program_.workers[live.worker].rank;
  const auto place = std::find(group.ranks.begin(), group.ranks.end(), rank) - group.ranks.begin();
  LIGHTCONE_ASSERT(static_cast<std::size_t>(place) < group.up.size());
  LiveLink& up = layout_.links[group.up[static_cast<std::size_t>(place)]];
  if (step.delivery == Delivery::multicast) {
    for (const std::uint32_t channel : live.multicast) spend(channel);
    std::uint64_t head = begin + layout_.port_ps, tail = end + layout_.port_ps;
    const std::uint64_t left = through(up, step.first_wire, head, tail);
    start_flight(head + group.pass_ps, {tail + group.pass_ps, worker, step.first_wire, 0, Stage::multicast},
                 live.local);
    return finish_step(worker, step, std::max(end, left - layout_.port_ps));
  }
  // A request goes to every GPU of the group: it is too short to take a link.
  state_[worker].waits = Waits::group;
  state_[worker].free_ps = end;
  const LiveLink& down = layout_.links[group.down[static_cast<std::size_t>(place)]];
  const std::uint64_t there =
      begin + 2 * layout_.port_ps + up.part.latency_ps() + group.pass_ps + down.part.latency_ps();
  start_flight(there, {there, worker, step.first_wire, 0, Stage::gather}, live.local);
}

void MessageMachine::finish_step(std::uint32_t worker, const FlatStep& step, std::uint64_t free_ps) {
  state_[worker].free_ps = free_ps;
  if (step.receive != kNoPeer) {
    const std::uint32_t channel = layout_.receive_channel[layout_.workers[worker].first_peer + step.receive];
    give_credit(channel, free_ps + layout_.channels[channel].latency_ps);
  }
  flat_.advance(state_[worker].at);
}

// ---- Messages ----------------------------------------------------------------------------------------------------

// When the worker is free again: its stores wait for the first link.
std::uint64_t MessageMachine::send(std::uint32_t channel, const FlatStep& step, std::uint64_t head_ps,
                                   std::uint64_t tail_ps) {
  const Channel& way = layout_.channels[channel];
  if (way.hops == 0) {
    deliver(channel, tail_ps);
    return tail_ps;
  }
  travel(channel, 0, step.first_wire, head_ps + layout_.port_ps, tail_ps + layout_.port_ps);
  const std::uint64_t link_free = layout_.links[layout_.hops[way.first_hop].link].part.free_at_ps();
  return std::max(tail_ps, link_free - layout_.port_ps);
}

// The bits pass a link: head and tail become those at its far end. Returns when the last bit has entered.
std::uint64_t MessageMachine::through(LiveLink& link, std::uint32_t first_wire, std::uint64_t& head_ps,
                                      std::uint64_t& tail_ps, double times) {
  std::uint64_t wire = flat_.wire_bytes(first_wire, link.kind);
  if (times != 1) wire = static_cast<std::uint64_t>(static_cast<double>(wire) * times + 0.5);
  const FabricLink::Passage passage = link.part.send(head_ps, tail_ps, wire);
  head_ps = passage.first_ps + link.part.latency_ps();
  tail_ps = passage.last_ps + link.part.latency_ps();
  return passage.last_ps;
}

// On from the input of `hop`, up to the next place where messages meet.
void MessageMachine::travel(std::uint32_t channel, std::uint16_t hop, std::uint32_t first_wire, std::uint64_t head_ps,
                            std::uint64_t tail_ps) {
  const Channel& way = layout_.channels[channel];
  for (;; ++hop) {
    const Hop& next = layout_.hops[way.first_hop + hop];
    const std::uint64_t entered = head_ps;
    if (next.circuit != kNone) {
      OpticalCircuitSwitch& circuit = layout_.circuits[next.circuit];
      const std::uint32_t input = layout_.hops[way.first_hop + hop - 1].link;
      head_ps = circuit.connect(input, next.link, head_ps);
      tail_ps += head_ps - entered;  // the sender holds its bits back
    }
    through(layout_.links[next.link], first_wire, head_ps, tail_ps, next.times);
    if (next.circuit != kNone)
      layout_.circuits[next.circuit].hold(layout_.hops[way.first_hop + hop - 1].link, next.link,
                                          layout_.links[next.link].part.free_at_ps());
    if (hop + 1 == way.hops) return deliver(channel, tail_ps + layout_.port_ps);
    const Hop& after = layout_.hops[way.first_hop + hop + 1];
    const std::uint64_t arrived = head_ps;
    head_ps += after.pass_ps;
    if (after.nic != kNone) head_ps = layout_.nics[after.nic].pass(head_ps);
    tail_ps += head_ps - arrived;
    if (after.merges) {
      const std::uint32_t local = layout_.workers[way.from].local;
      return start_flight(head_ps, {tail_ps, channel, first_wire, static_cast<std::uint16_t>(hop + 1), Stage::hop},
                          local);
    }
  }
}

void MessageMachine::deliver(std::uint32_t channel, std::uint64_t time_ps) {
  times_.push(channels_[channel].arrived, time_ps);
  const std::uint32_t worker = layout_.channels[channel].to;
  WorkerState& state = state_[worker];
  if (state.waits != Waits::message) return;
  const std::uint16_t receive = flat_.step(state.at).receive;
  if (layout_.receive_channel[layout_.workers[worker].first_peer + receive] != channel) return;
  state.waits = Waits::event;
  at(std::max(time_ps, state.free_ps), worker);
}

void MessageMachine::give_credit(std::uint32_t channel, std::uint64_t time_ps) {
  times_.push(channels_[channel].returned, time_ps);
  const std::uint32_t worker = layout_.channels[channel].from;
  WorkerState& state = state_[worker];
  if (state.waits != Waits::credit) return;
  state.waits = Waits::event;
  at(std::max(time_ps, state.free_ps), worker);
}

void MessageMachine::fly(std::uint32_t flight, std::uint64_t now) {
  const Flight f = flights_[flight];
  free_flights_.push_back(flight);
  switch (f.stage) {
    case Stage::hop:
      return travel(f.channel, f.hop, f.first_wire, now, f.tail_ps);
    case Stage::multicast:
      return multicast(f.channel, f.first_wire, now, f.tail_ps);
    case Stage::gather:
      return gather(f.channel, f.first_wire, now);
    case Stage::reduced:
      return return_sum(f.channel, f.first_wire, now, f.tail_ps);
  }
}

// ---- In the switch -----------------------------------------------------------------------------------------------

void MessageMachine::multicast(std::uint32_t worker, std::uint32_t first_wire, std::uint64_t head_ps,
                               std::uint64_t tail_ps) {
  const LiveWorker& live = layout_.workers[worker];
  const GroupWay& group = layout_.groups[program_.workers[live.worker].group];
  for (std::size_t i = 0; i < group.down.size(); ++i) {
    std::uint64_t head = head_ps, tail = tail_ps;
    through(layout_.links[group.down[i]], first_wire, head, tail);
    for (const std::uint32_t channel : live.multicast) {
      const std::uint32_t to = layout_.workers[layout_.channels[channel].to].worker;
      if (program_.workers[to].rank == group.ranks[i]) deliver(channel, tail + layout_.port_ps);
    }
  }
}

void MessageMachine::gather(std::uint32_t worker, std::uint32_t first_wire, std::uint64_t now) {
  const LiveWorker& live = layout_.workers[worker];
  const GroupWay& group = layout_.groups[program_.workers[live.worker].group];
  SwitchReduction sum;
  for (const std::uint32_t up : group.up) {
    std::uint64_t head = now + layout_.port_ps, tail = head;
    through(layout_.links[up], first_wire, head, tail);
    sum.add(head + group.pass_ps, tail + group.pass_ps);
  }
  start_flight(sum.head_ps(), {sum.tail_ps(), worker, first_wire, 0, Stage::reduced}, live.local);
}

void MessageMachine::return_sum(std::uint32_t worker, std::uint32_t first_wire, std::uint64_t head_ps,
                                std::uint64_t tail_ps) {
  const LiveWorker& live = layout_.workers[worker];
  const GroupWay& group = layout_.groups[program_.workers[live.worker].group];
  const std::uint32_t rank = program_.workers[live.worker].rank;
  const auto place = std::find(group.ranks.begin(), group.ranks.end(), rank) - group.ranks.begin();
  through(layout_.links[group.down[static_cast<std::size_t>(place)]], first_wire, head_ps, tail_ps);
  WorkerState& state = state_[worker];
  state.waits = Waits::nothing;
  finish_step(worker, flat_.step(state.at), std::max(state.free_ps, tail_ps + layout_.port_ps));
  at(state.free_ps, worker);
}

// ---- Events ------------------------------------------------------------------------------------------------------

void MessageMachine::at(std::uint64_t time_ps, std::uint32_t worker) {
  events_.push({time_ps, std::uint64_t{layout_.workers[worker].local} << 32 | worker});
}

void MessageMachine::start_flight(std::uint64_t head_ps, const Flight& flight, std::uint32_t local) {
  std::uint32_t id;
  if (free_flights_.empty()) {
    id = static_cast<std::uint32_t>(flights_.size());
    flights_.push_back(flight);
  } else {
    id = free_flights_.back();
    free_flights_.pop_back();
    flights_[id] = flight;
  }
  events_.push({head_ps, kFlightBit | std::uint64_t{local} << 32 | id});
}

std::string MessageMachine::outstanding() const {
  constexpr std::size_t kShown = 4;
  std::string text;
  std::size_t shown = 0;
  for (std::uint32_t w = 0; w < state_.size() && shown < kShown; ++w) {
    const WorkerState& state = state_[w];
    if (state.waits == Waits::finished) continue;
    const MessageWorker& worker = program_.workers[layout_.workers[w].worker];
    const FlatStep& step = flat_.step(state.at);
    const auto rank_of = [&](std::uint32_t peer) { return program_.workers[worker.peers[peer]].rank; };
    text += fmt::format("{}rank {} ({}) waits for ", shown++ > 0 ? "; " : "", worker.rank,
                        program_.classes[worker.worker_class].name);
    if (state.waits == Waits::message) {
      text += fmt::format("a message from rank {}", rank_of(step.receive));
    } else if (step.send != kNoPeer) {
      text += fmt::format("rank {} to take one of {} messages", rank_of(step.send),
                          program_.classes[worker.worker_class].slots);
    } else {
      text += "its group to take messages";
    }
  }
  return text;
}

}  // namespace lightcone::hardware
