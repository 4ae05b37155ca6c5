// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_machine.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "hardware/parts/fabric_switch.h"
#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

constexpr std::uint64_t kFlightBit = std::uint64_t{1} << 63;
constexpr std::size_t kHeapWays = 4;  // children of a heap entry: half as deep as a binary one

std::uint64_t picoseconds(double bytes, BytesPerSecond rate) {
  return rate.count() > 0 ? static_cast<std::uint64_t>(bytes / rate.count() * 1e12 + 0.5) : 0;
}

}  // namespace

MessageMachine::MessageMachine(const MessageProgram& program, const FabricSpec& fabric, MessageLayout layout)
    : program_(program), layout_(std::move(layout)) {
  flatten(fabric);
  channels_.resize(layout_.channels.size());
  for (std::size_t c = 0; c < channels_.size(); ++c) {
    const std::uint32_t from = layout_.workers[layout_.channels[c].from].worker;
    channels_[c].credits = classes_[program.workers[from].worker_class].slots;
  }
  state_.resize(layout_.workers.size());
  unfinished_ = state_.size();
  for (std::uint32_t w = 0; w < state_.size(); ++w) {
    WorkerState& state = state_[w];
    const ClassProgram& own = classes_[program.workers[layout_.workers[w].worker].worker_class];
    state.block = own.first;
    state.block_end = own.end;
    state.free_ps = program.start.count();
    end_ps_ = state.free_ps;
    enter_block(state);
    at(state.free_ps, w);
  }
}

// ---- The program, flat -------------------------------------------------------------------------------------------

void MessageMachine::flatten(const FabricSpec& fabric) {
  for (const WorkerClass& worker_class : program_.classes) {
    ClassProgram own{static_cast<std::uint32_t>(blocks_.size()), 0, worker_class.slots};
    for (const MessageBlock& block : worker_class.blocks) {
      Block flat{block.repeat, static_cast<std::uint32_t>(segments_.size()), 0};
      for (const MessageSegment& segment : block.segments) {
        if (segment.repeat == 0 || segment.steps.empty()) continue;
        const auto first = static_cast<std::uint32_t>(steps_.size());
        for (const MessageStep& step : segment.steps) flatten_step(step, worker_class, fabric);
        segments_.push_back({segment.repeat, first, static_cast<std::uint32_t>(steps_.size())});
      }
      flat.end = static_cast<std::uint32_t>(segments_.size());
      if (flat.repeat > 0 && flat.end > flat.first) blocks_.push_back(flat);
    }
    own.end = static_cast<std::uint32_t>(blocks_.size());
    classes_.push_back(own);
  }
}

std::uint32_t MessageMachine::flatten_step(const MessageStep& step, const WorkerClass& worker_class,
                                           const FabricSpec& fabric) {
  Step flat;
  flat.receive = step.receive;
  flat.send = step.delivery == Delivery::unicast ? step.send : kNoPeer;
  flat.delivery = step.delivery;
  flat.lead_ps = step.compute.count() + (step.bytes.count() > 0 ? worker_class.step_overhead.count() : 0);
  const bool local = step.delivery == Delivery::unicast && step.send == kNoPeer;
  const bool own_rate = local && worker_class.local_rate.count() > 0;
  flat.work_ps = picoseconds(step.bytes.real(), own_rate ? worker_class.local_rate : worker_class.rate);
  flat.first_wire = static_cast<std::uint32_t>(wire_.size());
  const Bytes stored(static_cast<std::uint64_t>(std::llround(step.bytes.real() * worker_class.wire_per_payload)));
  for (const LinkSpec& link : fabric.links) wire_.push_back(link.wire_bytes(stored).count());
  steps_.push_back(flat);
  return static_cast<std::uint32_t>(steps_.size() - 1);
}

void MessageMachine::enter_block(WorkerState& state) {
  if (state.block == state.block_end) return;
  const Block& block = blocks_[state.block];
  state.block_left = block.repeat;
  state.segment = block.first;
  state.segment_left = segments_[state.segment].repeat;
  state.step = segments_[state.segment].first;
}

void MessageMachine::next_step(std::uint32_t worker) {
  WorkerState& state = state_[worker];
  if (++state.step != segments_[state.segment].end) return;
  const Block& block = blocks_[state.block];
  if (--state.segment_left == 0) {
    if (++state.segment == block.end) {
      state.segment = block.first;
      if (--state.block_left == 0) {
        ++state.block;
        return enter_block(state);
      }
    }
    state.segment_left = segments_[state.segment].repeat;
  }
  state.step = segments_[state.segment].first;
}

// ---- Workers -----------------------------------------------------------------------------------------------------

engine::Wake MessageMachine::tick(engine::Cycle now) {
  const std::uint64_t until = now * kCyclePs;
  while (!heap_.empty() && heap_.front().time_ps <= until) {
    const Event event = pop_event();
    const auto id = static_cast<std::uint32_t>(event.key);
    if ((event.key & kFlightBit) != 0) {
      fly(id, event.time_ps);
    } else {
      run(id, event.time_ps);
    }
  }
  if (heap_.empty()) return engine::Wake::on_message();
  return engine::Wake::at((heap_.front().time_ps + kCyclePs - 1) / kCyclePs);
}

// Runs steps as long as they can begin now; then waits for a time, a message or a credit.
void MessageMachine::run(std::uint32_t worker, std::uint64_t now) {
  WorkerState& state = state_[worker];
  while (state.block != state.block_end) {
    const Step& step = steps_[state.step];
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
bool MessageMachine::ready(std::uint32_t worker, const Step& step, std::uint64_t& at) {
  const LiveWorker& live = layout_.workers[worker];
  if (step.receive != kNoPeer) {
    const std::uint32_t channel = layout_.receive_channel[live.first_peer + step.receive];
    const TimeQueue& arrived = channels_[channel].arrived;
    if (arrived.head == kNone) {
      state_[worker].waits = Waits::message;
      return false;
    }
    at = std::max(at, nodes_[arrived.head].time_ps);
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
  if (state.returned.head == kNone) {
    state_[worker].waits = Waits::credit;
    return false;
  }
  at = std::max(at, nodes_[state.returned.head].time_ps);
  return true;
}

void MessageMachine::execute(std::uint32_t worker, const Step& step, std::uint64_t now) {
  const LiveWorker& live = layout_.workers[worker];
  const std::uint64_t begin = now + step.lead_ps, end = begin + step.work_ps;
  state_[worker].busy_ps += end - now;
  if (step.receive != kNoPeer) pop(channels_[layout_.receive_channel[live.first_peer + step.receive]].arrived);
  const auto spend = [this](std::uint32_t channel) {
    ChannelState& state = channels_[channel];
    if (state.credits > 0) {
      --state.credits;
    } else {
      pop(state.returned);
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

void MessageMachine::finish_step(std::uint32_t worker, const Step& step, std::uint64_t free_ps) {
  state_[worker].free_ps = free_ps;
  if (step.receive != kNoPeer) {
    const std::uint32_t channel = layout_.receive_channel[layout_.workers[worker].first_peer + step.receive];
    give_credit(channel, free_ps + layout_.channels[channel].latency_ps);
  }
  next_step(worker);
}

// ---- Messages ----------------------------------------------------------------------------------------------------

// When the worker is free again: its stores wait for the first link.
std::uint64_t MessageMachine::send(std::uint32_t channel, const Step& step, std::uint64_t head_ps,
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
                                      std::uint64_t& tail_ps) {
  const FabricLink::Passage passage = link.part.send(head_ps, tail_ps, wire_[first_wire + link.kind]);
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
    through(layout_.links[next.link], first_wire, head_ps, tail_ps);
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
  push(channels_[channel].arrived, time_ps);
  const std::uint32_t worker = layout_.channels[channel].to;
  WorkerState& state = state_[worker];
  if (state.waits != Waits::message) return;
  const std::uint16_t receive = steps_[state.step].receive;
  if (layout_.receive_channel[layout_.workers[worker].first_peer + receive] != channel) return;
  state.waits = Waits::event;
  at(std::max(time_ps, state.free_ps), worker);
}

void MessageMachine::give_credit(std::uint32_t channel, std::uint64_t time_ps) {
  push(channels_[channel].returned, time_ps);
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
  finish_step(worker, steps_[state.step], std::max(state.free_ps, tail_ps + layout_.port_ps));
  at(state.free_ps, worker);
}

// ---- Queues ------------------------------------------------------------------------------------------------------

void MessageMachine::push(TimeQueue& queue, std::uint64_t time_ps) {
  std::uint32_t node;
  if (free_nodes_.empty()) {
    node = static_cast<std::uint32_t>(nodes_.size());
    nodes_.push_back({time_ps, kNone});
  } else {
    node = free_nodes_.back();
    free_nodes_.pop_back();
    nodes_[node] = {time_ps, kNone};
  }
  if (queue.head == kNone) {
    queue.head = node;
  } else {
    nodes_[node].time_ps = std::max(time_ps, nodes_[queue.tail].time_ps);  // messages do not overtake
    nodes_[queue.tail].next = node;
  }
  queue.tail = node;
}

std::uint64_t MessageMachine::pop(TimeQueue& queue) {
  const std::uint32_t node = queue.head;
  queue.head = nodes_[node].next;
  free_nodes_.push_back(node);
  return nodes_[node].time_ps;
}

void MessageMachine::at(std::uint64_t time_ps, std::uint32_t worker) {
  push_event({time_ps, std::uint64_t{layout_.workers[worker].local} << 32 | worker});
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
  push_event({head_ps, kFlightBit | std::uint64_t{local} << 32 | id});
}

namespace {
template <class Event>
bool earlier(const Event& a, const Event& b) {
  return a.time_ps != b.time_ps ? a.time_ps < b.time_ps : a.key < b.key;
}
}  // namespace

void MessageMachine::push_event(Event event) {
  std::size_t i = heap_.size();
  heap_.push_back(event);
  while (i > 0) {
    const std::size_t parent = (i - 1) / kHeapWays;
    if (!earlier(event, heap_[parent])) break;
    heap_[i] = heap_[parent];
    i = parent;
  }
  heap_[i] = event;
}

MessageMachine::Event MessageMachine::pop_event() {
  const Event top = heap_.front();
  const Event last = heap_.back();
  heap_.pop_back();
  const std::size_t size = heap_.size();
  if (size == 0) return top;
  std::size_t i = 0;
  for (;;) {
    const std::size_t first = i * kHeapWays + 1;
    if (first >= size) break;
    std::size_t least = first;
    for (std::size_t child = first + 1; child < std::min(first + kHeapWays, size); ++child) {
      if (earlier(heap_[child], heap_[least])) least = child;
    }
    if (!earlier(heap_[least], last)) break;
    heap_[i] = heap_[least];
    i = least;
  }
  heap_[i] = last;
  return top;
}

std::string MessageMachine::outstanding() const {
  constexpr std::size_t kShown = 4;
  std::string text;
  std::size_t shown = 0;
  for (std::uint32_t w = 0; w < state_.size() && shown < kShown; ++w) {
    const WorkerState& state = state_[w];
    if (state.waits == Waits::finished) continue;
    const MessageWorker& worker = program_.workers[layout_.workers[w].worker];
    const Step& step = steps_[state.step];
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
