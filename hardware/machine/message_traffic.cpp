// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_traffic.h"

#include <algorithm>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

bool sends(const MessageStep& step) { return step.delivery != Delivery::unicast || step.send != kNoPeer; }

// Bytes on the wire of one message: flags of the protocol, then packets with their headers.
double wire_of(const LinkSpec& link, Bytes payload, double wire_per_payload) {
  return link.wire_bytes(Bytes(static_cast<std::uint64_t>(payload.real() * wire_per_payload + 0.5))).real();
}

}  // namespace

MessageTraffic::Target MessageTraffic::target(const MessageStep& step) {
  if (step.delivery == Delivery::multicast) return kMulticast;
  if (step.delivery == Delivery::reduced_load) return kReducedLoad;
  return step.send;
}

MessageTraffic::MessageTraffic(const MessageProgram& program, const MachineGraph& graph)
    : program_(program),
      graph_(graph),
      ways_(program.workers.size()),
      loads_(program.workers.size()),
      wire_(graph.links().size()) {
  collect(program, graph);
  share_out();
}

void MessageTraffic::collect(const MessageProgram& program, const MachineGraph& graph) {
  const std::vector<LinkSpec>& kinds = graph.fabric().links;
  std::vector<std::map<Target, std::map<std::uint64_t, double>>> messages(program.classes.size());  // size -> count
  for (std::size_t c = 0; c < program.classes.size(); ++c) {
    for (const MessageBlock& block : program.classes[c].blocks) {
      for (const MessageSegment& segment : block.segments) {
        for (const MessageStep& step : segment.steps) {
          if (!sends(step)) continue;
          messages[c][target(step)][step.bytes.count()] +=
              static_cast<double>(block.repeat) * static_cast<double>(segment.repeat);
        }
      }
    }
  }
  for (std::uint32_t w = 0; w < program.workers.size(); ++w) {
    const MessageWorker& worker = program.workers[w];
    const double flags = program.classes[worker.worker_class].wire_per_payload;
    for (const auto& [to, sizes] : messages[worker.worker_class]) {
      SendWay& way = ways_[w][to];
      way.links = links_of(worker, to, way.latency);
      Load load;
      for (const auto& [size, count] : sizes) load.payload += static_cast<double>(size) * count;
      for (const LinkIndex l : way.links) {
        double wire = 0;
        for (const auto& [size, count] : sizes) {
          if (size > 0) wire += wire_of(kinds[graph.links()[l].kind], Bytes(size), flags) * count;
        }
        wire_[l] += Bytes(static_cast<std::uint64_t>(wire + 0.5));
        load.wire = std::max(load.wire, wire);
      }
      loads_[w][to] = load;
    }
  }
}

// A switch joins a group: each member reaches it over the first link of its way to any other member.
std::vector<LinkIndex> MessageTraffic::links_of(const MessageWorker& worker, Target to, Seconds& latency) const {
  const std::uint32_t gpu = program_.gpus[worker.rank];
  if (to != kMulticast && to != kReducedLoad) {
    const std::uint32_t other = program_.gpus[program_.workers[worker.peers[to]].rank];
    if (other == gpu) return {};
    latency = graph_.latency(gpu, other);
    return graph_.route(gpu, other, worker.path);
  }
  std::vector<LinkIndex> links;
  const std::vector<std::uint32_t>& group = program_.groups[worker.group];
  for (const std::uint32_t rank : group) {
    const std::uint32_t member = program_.gpus[rank];
    const std::uint32_t partner = member != gpu ? gpu : program_.gpus[group[group[0] == rank ? 1 : 0]];
    latency = std::max(latency, graph_.latency(member, partner));
    if (to == kMulticast) {
      if (member == gpu) links.push_back(graph_.route(member, partner, worker.path).front());
      links.push_back(graph_.route(partner, member, worker.path).back());
    } else {
      links.push_back(graph_.route(member, partner, worker.path).front());
      if (member == gpu) links.push_back(graph_.route(partner, member, worker.path).back());
    }
  }
  if (to == kReducedLoad) latency = latency * 2.0;
  return links;
}

// A link is shared by as many as use it at a time: each worker counts with the part of its bytes that takes this link.
void MessageTraffic::share_out() {
  std::vector<double> users(wire_.size(), 0);
  for (std::uint32_t w = 0; w < ways_.size(); ++w) {
    double sent = 0;
    for (const auto& [to, load] : loads_[w]) sent += load.payload;
    if (sent <= 0) continue;
    for (const auto& [to, way] : ways_[w]) {
      for (const LinkIndex l : way.links) users[l] += loads_[w][to].payload / sent;
    }
  }
  for (std::uint32_t w = 0; w < ways_.size(); ++w) {
    for (auto& [to, way] : ways_[w]) {
      const Load& load = loads_[w][to];
      if (load.payload <= 0) continue;
      for (const LinkIndex l : way.links) {
        const DirectedLink& link = graph_.links()[l];
        const double rate =
            std::min(graph_.fabric().links[link.kind].sustained().count() * link.count, link.wire.count());
        const double share = rate * load.payload / load.wire / std::max(1.0, users[l]);
        if (way.share.count() == 0 || share < way.share.count()) way.share = BytesPerSecond(share);
      }
    }
  }
}

const SendWay& MessageTraffic::way(std::uint32_t worker, const MessageStep& step) const {
  const auto found = ways_[worker].find(target(step));
  LIGHTCONE_ASSERT(found != ways_[worker].end());
  return found->second;
}

LinkIndex MessageTraffic::busiest_link() const {
  LinkIndex busiest = 0;
  double longest = -1;
  for (LinkIndex l = 0; l < wire_.size(); ++l) {
    const double time = wire_[l].real() / graph_.links()[l].wire.count();
    if (time > longest) {
      longest = time;
      busiest = l;
    }
  }
  return busiest;
}

Seconds MessageTraffic::busiest() const {
  if (wire_.empty()) return Seconds(0);
  const LinkIndex l = busiest_link();
  return Seconds(wire_[l].real() / graph_.links()[l].wire.count());
}

}  // namespace lightcone::hardware
