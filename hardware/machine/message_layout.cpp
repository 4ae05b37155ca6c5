// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_layout.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

#include "hardware/parts/fabric_switch.h"

namespace lightcone::hardware {
namespace {

class Builder {
 public:
  Builder(const MessageProgram& program, const MachineGraph& graph, const MessageFold& fold, const PeerSlots& slots)
      : program_(program), graph_(graph), fold_(fold), slots_(slots) {}

  MessageLayout build() {
    out_.port_ps = to_picoseconds(graph_.fabric().port_latency).count();
    number_workers();
    if (fold_.folded) colour_shared_links();
    for (std::uint32_t live = 0; live < out_.workers.size(); ++live) join(live);
    for (std::uint32_t live = 0; live < out_.workers.size(); ++live) join_multicasts(live);
    mark_merges();
    build_groups();
    return std::move(out_);
  }

 private:
  // With folded ranks: the rank of each GPU, and the links between switches that are passed by the same classes of
  // messages, of which one is played.
  void colour_shared_links() {
    rank_of_gpu_.assign(graph_.gpu_count(), kNone);
    for (std::uint32_t rank = 0; rank < program_.gpus.size(); ++rank) rank_of_gpu_[program_.gpus[rank]] = rank;
    link_colour_.assign(graph_.links().size(), 0);
    for (std::uint32_t w = 0; w < program_.workers.size(); ++w) {
      const MessageWorker& worker = program_.workers[w];
      for (const std::uint16_t peer : sent_peers(program_.classes[worker.worker_class])) {
        const std::uint32_t to = program_.workers[worker.peers[peer]].rank;
        for (const LinkIndex link : graph_.route(program_.gpus[worker.rank], program_.gpus[to], worker.path))
          link_colour_[link] += mixed(mixed(place(w), peer), 1);
      }
    }
    for (LinkIndex link = 0; link < link_colour_.size(); ++link) {
      if (link_colour_[link] != 0 && graph_.links()[link].gpu == kNoGpu) ++alike_[shared_key(link)];
    }
  }
  [[nodiscard]] std::uint64_t shared_key(LinkIndex link) const {
    return mixed(link_colour_[link], graph_.links()[link].orbit);
  }

  void number_workers() {
    std::vector<std::uint32_t> on_rank(program_.gpus.size(), 0);
    local_.resize(program_.workers.size());
    live_.assign(program_.workers.size(), kNone);
    std::uint32_t peers = 0;
    std::unordered_map<std::uint64_t, std::uint32_t> by_place;  // class of ranks and number on the rank
    for (std::uint32_t w = 0; w < program_.workers.size(); ++w) {
      const MessageWorker& worker = program_.workers[w];
      local_[w] = on_rank[worker.rank]++;
      if (fold_.representative[fold_.rank_class[worker.rank]] != worker.rank) continue;
      live_[w] = static_cast<std::uint32_t>(out_.workers.size());
      by_place[place(w)] = live_[w];
      out_.workers.push_back({w, local_[w], peers, {}});
      peers += static_cast<std::uint32_t>(worker.peers.size());
    }
    for (std::uint32_t w = 0; w < program_.workers.size(); ++w) {
      if (live_[w] == kNone) live_[w] = by_place.at(place(w));
    }
    out_.send_channel.assign(peers, kNone);
    out_.receive_channel.assign(peers, kNone);
  }
  [[nodiscard]] std::uint64_t place(std::uint32_t w) const {
    return std::uint64_t{fold_.rank_class[program_.workers[w].rank]} << 32 | local_[w];
  }

  // Channels of all that a worker sends.
  void join(std::uint32_t live) {
    const std::uint32_t w = out_.workers[live].worker;
    const MessageWorker& worker = program_.workers[w];
    for (const std::uint16_t peer : sent_peers(program_.classes[worker.worker_class])) {
      const std::uint32_t to = worker.peers[peer];
      std::uint32_t channel = kNone;
      for (std::size_t p = 0; p < peer && channel == kNone; ++p) {
        if (worker.peers[p] == to) channel = out_.send_channel[out_.workers[live].first_peer + p];
      }
      if (channel == kNone) channel = add_channel(live, w, to, true);
      out_.send_channel[out_.workers[live].first_peer + peer] = channel;
    }
  }

  std::uint32_t add_channel(std::uint32_t live, std::uint32_t from, std::uint32_t to, bool with_way) {
    Channel channel;
    channel.from = live;
    channel.to = live_[to];
    if (with_way) add_way(channel, from, to);
    const auto number = static_cast<std::uint32_t>(out_.channels.size());
    out_.channels.push_back(channel);
    const std::uint16_t slot = slots_.slot(from, to);
    if (slot == kNoPeer) throw std::logic_error(program_.name + ": a message is sent that nobody receives");
    // All slots of the receiver that name this sender take its messages in turn.
    const MessageWorker& receiver = program_.workers[to];
    for (std::size_t s = slot; s < receiver.peers.size(); ++s) {
      if (receiver.peers[s] == from) out_.receive_channel[out_.workers[channel.to].first_peer + s] = number;
    }
    return number;
  }

  void add_way(Channel& channel, std::uint32_t from, std::uint32_t to) {
    const std::uint32_t a = program_.gpus[program_.workers[from].rank], b = program_.gpus[program_.workers[to].rank];
    if (a == b) return;
    const std::vector<LinkIndex> way = graph_.route(a, b, program_.workers[from].path);
    channel.first_hop = static_cast<std::uint32_t>(out_.hops.size());
    channel.hops = static_cast<std::uint16_t>(way.size());
    channel.latency_ps = 2 * out_.port_ps;
    for (std::size_t i = 0; i < way.size(); ++i) {
      Hop hop;
      hop.link = live_link(way[i]);
      if (fold_.folded && graph_.links()[way[i]].gpu == kNoGpu)
        hop.times = fold_.members[fold_.rank_class[program_.workers[from].rank]] / out_.links[hop.link].stands_for;
      if (i > 0) pass(graph_.links()[way[i]].from, hop);
      channel.latency_ps += out_.links[hop.link].part.latency_ps() + hop.pass_ps;
      if (hop.nic != kNone) channel.latency_ps += out_.nics[hop.nic].latency_ps();
      out_.hops.push_back(hop);
    }
  }

  // The vertex before a link. A NIC's two directions are told apart by the link behind it.
  void pass(VertexIndex vertex, Hop& hop) {
    const auto spec = graph_.vertex_spec(vertex);
    switch (graph_.vertex_kind(vertex)) {
      case VertexKind::nic: {
        const auto [at, fresh] = nics_.emplace(hop.link, static_cast<std::uint32_t>(out_.nics.size()));
        if (fresh) out_.nics.emplace_back(graph_.fabric().nics[*spec]);
        hop.nic = at->second;
        return;
      }
      case VertexKind::circuit_switch: {
        const auto [at, fresh] = circuits_.emplace(vertex, static_cast<std::uint32_t>(out_.circuits.size()));
        if (fresh) out_.circuits.emplace_back(graph_.fabric().circuit_switches[*spec]);
        hop.circuit = at->second;
        return;
      }
      default:
        if (spec) hop.pass_ps = static_cast<std::uint32_t>(FabricSwitch(graph_.fabric().switches[*spec]).latency_ps());
    }
  }

  std::uint32_t live_link(LinkIndex link) {
    const DirectedLink& bundle = graph_.links()[link];
    const bool shared = bundle.gpu == kNoGpu;
    std::uint64_t key = link;
    double stands_for = 1;
    if (fold_.folded && shared) {
      key = shared_key(link);
      stands_for = alike_.at(key);
    } else if (fold_.folded) {
      const std::uint32_t rank = rank_of_gpu_[bundle.gpu];
      if (rank == kNone) throw std::logic_error(program_.name + ": a folded message passes a GPU of no rank");
      stands_for = fold_.members[fold_.rank_class[rank]];
      key = std::uint64_t{bundle.orbit} << 32 | fold_.rank_class[rank];
    }
    auto& known = shared ? shared_links_ : own_links_;
    const auto [at, fresh] = known.emplace(key, static_cast<std::uint32_t>(out_.links.size()));
    if (fresh) {
      const LinkSpec& spec = graph_.fabric().links[bundle.kind];
      out_.links.push_back({FabricLink(spec, bundle.count), bundle.kind, stands_for, pass_energy(bundle.from)});
    }
    return at->second;
  }

  [[nodiscard]] double pass_energy(VertexIndex vertex) const {
    const auto spec = graph_.vertex_spec(vertex);
    if (!spec || graph_.vertex_kind(vertex) == VertexKind::circuit_switch) return 0;
    if (graph_.vertex_kind(vertex) == VertexKind::nic) return graph_.fabric().nics[*spec].pj_per_bit;
    return graph_.fabric().switches[*spec].pj_per_bit;
  }

  // A multicast arrives at every worker that receives from this one and is not sent to.
  void join_multicasts(std::uint32_t live) {
    const std::uint32_t w = out_.workers[live].worker;
    const MessageWorker& worker = program_.workers[w];
    const WorkerClass& worker_class = program_.classes[worker.worker_class];
    if (!multicasts(worker_class)) return;
    if (takers_.empty()) list_takers();
    for (const std::uint32_t to : takers_[w]) {
      const std::uint32_t channel = add_channel(live, w, to, false);
      const std::uint32_t a = program_.gpus[worker.rank], b = program_.gpus[program_.workers[to].rank];
      out_.channels[channel].latency_ps = to_picoseconds(graph_.latency(a, b)).count();
      out_.workers[live].multicast.push_back(channel);
    }
  }
  static bool multicasts(const WorkerClass& worker_class) {
    for (const MessageBlock& block : worker_class.blocks) {
      for (const MessageSegment& segment : block.segments) {
        for (const MessageStep& step : segment.steps) {
          if (step.delivery == Delivery::multicast) return true;
        }
      }
    }
    return false;
  }
  void list_takers() {
    takers_.resize(program_.workers.size());
    for (std::uint32_t to = 0; to < program_.workers.size(); ++to) {
      const MessageWorker& worker = program_.workers[to];
      for (const std::uint16_t slot : received_peers(program_.classes[worker.worker_class])) {
        const std::uint32_t live = live_[to];
        if (out_.receive_channel[out_.workers[live].first_peer + slot] == kNone)
          takers_[worker.peers[slot]].push_back(to);
      }
    }
    for (auto& takers : takers_) takers.erase(std::unique(takers.begin(), takers.end()), takers.end());
  }

  // Behind a link that only one other link feeds, messages keep their order: no turn to wait for.
  void mark_merges() {
    constexpr std::uint32_t kSender = kNone - 1;
    std::vector<std::uint32_t> feeder(out_.links.size(), kNone);
    std::vector<bool> several(out_.links.size(), false);
    const auto feed = [&](std::uint32_t link, std::uint32_t from) {
      if (feeder[link] != kNone && feeder[link] != from) several[link] = true;
      feeder[link] = from;
    };
    for (const Channel& channel : out_.channels) {
      for (std::uint16_t h = 0; h < channel.hops; ++h) {
        const std::uint32_t at = channel.first_hop + h;
        feed(out_.hops[at].link, h == 0 ? kSender : out_.hops[at - 1].link);
      }
    }
    for (const Channel& channel : out_.channels) {
      for (std::uint16_t h = 1; h < channel.hops; ++h) {
        Hop& hop = out_.hops[channel.first_hop + h];
        hop.merges = several[hop.link] || hop.circuit != kNone || fold_.folded || !program_.groups.empty();
      }
    }
  }

  void build_groups() {
    for (const auto& ranks : program_.groups) {
      GroupWay way;
      way.ranks = ranks;
      for (std::size_t i = 0; i < ranks.size() && ranks.size() > 1; ++i) {
        const std::uint32_t rank = ranks[i], other = ranks[i == 0 ? 1 : 0];
        const auto out = graph_.route(program_.gpus[rank], program_.gpus[other], 0);
        const auto back = graph_.route(program_.gpus[other], program_.gpus[rank], 0);
        const VertexIndex hub = graph_.links()[out.front()].to;
        if (out.size() != 2 || back.size() != 2 || !graph_.vertex_spec(hub))
          throw std::logic_error(program_.name + ": a group is not on one switch");
        way.up.push_back(live_link(out.front()));
        way.down.push_back(live_link(back.back()));
        way.pass_ps = static_cast<std::uint32_t>(to_picoseconds(graph_.pass_latency(hub)).count());
      }
      out_.groups.push_back(std::move(way));
    }
  }

  const MessageProgram& program_;
  const MachineGraph& graph_;
  const MessageFold& fold_;
  const PeerSlots& slots_;
  MessageLayout out_;
  std::vector<std::uint32_t> rank_of_gpu_, local_, live_;
  std::vector<std::uint64_t> link_colour_;
  std::unordered_map<std::uint64_t, std::uint32_t> alike_;  // links of the graph, by shared_key
  std::unordered_map<std::uint64_t, std::uint32_t> own_links_, shared_links_;
  std::unordered_map<std::uint32_t, std::uint32_t> nics_;
  std::unordered_map<VertexIndex, std::uint32_t> circuits_;
  std::vector<std::vector<std::uint32_t>> takers_;
};

}  // namespace

MessageLayout lay_out(const MessageProgram& program, const MachineGraph& graph, const MessageFold& fold,
                      const PeerSlots& slots) {
  return Builder(program, graph, fold, slots).build();
}

}  // namespace lightcone::hardware
