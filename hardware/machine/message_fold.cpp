// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_fold.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "hardware/program/message_walk.h"

namespace lightcone::hardware {
namespace {

std::uint64_t ends_of(std::uint32_t from, std::uint32_t to) { return std::uint64_t{from} << 32 | to; }

// What the ranks do that no renumbering changes: workers, ways and slots; peers' classes come in by refinement.
class Refinement {
 public:
  Refinement(const MessageProgram& program, const MachineGraph& graph, const PeerSlots& slots)
      : program_(program), graph_(graph), slots_(slots), link_colour_(graph.links().size(), 0) {}

  MessageFold fold() {
    list_workers();
    fixed_colours();
    std::size_t classes = renumber();
    while (classes < colour_.size()) {
      refine();
      const std::size_t now = renumber();
      if (now == classes) break;
      classes = now;
    }
    return result(classes);
  }

 private:
  void list_workers() {
    for (const WorkerClass& worker_class : program_.classes) sent_.push_back(sent_peers(worker_class));
    first_.assign(program_.gpus.size() + 1, 0);
    for (const MessageWorker& worker : program_.workers) ++first_[worker.rank + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    by_rank_.resize(program_.workers.size());
    local_.resize(program_.workers.size());
    std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
    for (std::uint32_t w = 0; w < program_.workers.size(); ++w) {
      const std::uint32_t rank = program_.workers[w].rank;
      local_[w] = next[rank] - first_[rank];
      by_rank_[next[rank]++] = w;
    }
  }

  void fixed_colours() {
    colour_.resize(program_.gpus.size());
    for (std::uint32_t rank = 0; rank < colour_.size(); ++rank) {
      std::uint64_t hash = mixed(program_.symmetry[rank], graph_.symmetry()[program_.gpus[rank]]);
      for (std::uint32_t i = first_[rank]; i < first_[rank + 1]; ++i) {
        const MessageWorker& worker = program_.workers[by_rank_[i]];
        hash = mixed(mixed(hash, worker.worker_class), worker.peers.size());
        for (const std::uint16_t peer : sent_[worker.worker_class]) hash = mixed(hash, way(by_rank_[i], peer));
      }
      colour_[rank] = hash;
    }
  }

  // Kinds of links on the way of a message, and where it is received.
  std::uint64_t way(std::uint32_t w, std::uint16_t peer) {
    const MessageWorker& worker = program_.workers[w];
    const std::uint32_t to = worker.peers[peer];
    std::uint64_t hash = mixed(slots_.slot(w, to), local_[to]);
    const std::uint32_t a = program_.gpus[worker.rank], b = program_.gpus[program_.workers[to].rank];
    for (const LinkIndex link : graph_.route(a, b, worker.path)) {
      hash = mixed(hash, graph_.links()[link].orbit);
      ways_.push_back({link, worker.rank, mixed(local_[w], peer)});
    }
    return hash;
  }

  // Ranks whose peers differ, or that share links with others, are different.
  void refine() {
    std::fill(link_colour_.begin(), link_colour_.end(), 0);
    for (const Pass& pass : ways_) link_colour_[pass.link] += mixed(colour_[pass.rank], pass.message);
    std::vector<std::uint64_t> next(colour_.size());
    for (std::uint32_t rank = 0; rank < colour_.size(); ++rank) {
      std::uint64_t hash = mixed(colour_[rank], 1);
      for (std::uint32_t i = first_[rank]; i < first_[rank + 1]; ++i) {
        for (const std::uint32_t peer : program_.workers[by_rank_[i]].peers)
          hash = mixed(hash, colour_[program_.workers[peer].rank]);
      }
      next[rank] = hash;
    }
    for (const Pass& pass : ways_)
      next[pass.rank] = mixed(next[pass.rank], mixed(pass.message, link_colour_[pass.link]));
    colour_ = std::move(next);
  }

  std::size_t renumber() {
    std::unordered_map<std::uint64_t, std::uint64_t> numbers;
    for (std::uint64_t& colour : colour_) colour = numbers.emplace(colour, numbers.size()).first->second;
    return numbers.size();
  }

  [[nodiscard]] MessageFold result(std::size_t classes) const {
    MessageFold out;
    out.members.assign(classes, 0);
    out.representative.assign(classes, 0);
    for (std::uint32_t rank = 0; rank < colour_.size(); ++rank) {
      const auto c = static_cast<std::uint32_t>(colour_[rank]);
      if (out.members[c]++ == 0) out.representative[c] = rank;
      out.rank_class.push_back(c);
    }
    out.folded = classes < colour_.size();
    return out;
  }

  const MessageProgram& program_;
  const MachineGraph& graph_;
  const PeerSlots& slots_;
  std::vector<std::vector<std::uint16_t>> sent_;  // by class
  std::vector<std::uint32_t> first_, by_rank_;    // workers of each rank
  std::vector<std::uint32_t> local_;              // number of each worker on its rank
  // A message of a rank over a link; `message` tells those of one rank apart.
  struct Pass {
    LinkIndex link = 0;
    std::uint32_t rank = 0;
    std::uint64_t message = 0;
  };
  std::vector<Pass> ways_;                  // rank by rank
  std::vector<std::uint64_t> link_colour_;  // of all that pass each link
  std::vector<std::uint64_t> colour_;
};

}  // namespace

PeerSlots::PeerSlots(const MessageProgram& program) {
  std::vector<std::vector<std::uint16_t>> received;
  for (const WorkerClass& worker_class : program.classes) received.push_back(received_peers(worker_class));
  for (std::uint32_t to = 0; to < program.workers.size(); ++to) {
    for (const std::uint16_t slot : received[program.workers[to].worker_class])
      entries_.push_back({ends_of(program.workers[to].peers[slot], to), slot});
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.ends != b.ends ? a.ends < b.ends : a.slot < b.slot; });
}

std::uint16_t PeerSlots::slot(std::uint32_t from, std::uint32_t to) const {
  const std::uint64_t ends = ends_of(from, to);
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), ends,
                                      [](const Entry& entry, std::uint64_t e) { return entry.ends < e; });
  return found != entries_.end() && found->ends == ends ? found->slot : kNoPeer;
}

std::vector<std::uint16_t> received_peers(const WorkerClass& worker_class) {
  std::set<std::uint16_t> peers;
  for_each_step(worker_class, [&](const MessageStep& step, std::uint64_t) {
    if (step.receive != kNoPeer) peers.insert(step.receive);
  });
  return {peers.begin(), peers.end()};
}

std::vector<std::uint16_t> sent_peers(const WorkerClass& worker_class) {
  std::set<std::uint16_t> peers;
  for_each_step(worker_class, [&](const MessageStep& step, std::uint64_t) {
    if (step.delivery == Delivery::unicast && step.send != kNoPeer) peers.insert(step.send);
  });
  return {peers.begin(), peers.end()};
}

MessageFold unfolded(const MessageProgram& program) {
  MessageFold out;
  out.rank_class.resize(program.gpus.size());
  std::iota(out.rank_class.begin(), out.rank_class.end(), 0u);
  out.representative = out.rank_class;
  out.members.assign(program.gpus.size(), 1);
  return out;
}

MessageFold fold(const MessageProgram& program, const MachineGraph& graph, const PeerSlots& slots) {
  const bool grouped = !program.groups.empty();  // loads of a group meet at every rank's port: each is played
  const auto& levels = graph.fabric().levels;    // whom a circuit joins is a state of every port
  const bool circuits = std::any_of(levels.begin(), levels.end(),
                                    [](const LevelSpec& level) { return level.topology == Topology::circuit; });
  if (program.symmetry.empty() || grouped || circuits) return unfolded(program);
  return Refinement(program, graph, slots).fold();
}

}  // namespace lightcone::hardware
