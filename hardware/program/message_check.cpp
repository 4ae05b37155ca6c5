// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <map>
#include <stdexcept>

#include "hardware/program/message_program.h"
#include "hardware/program/message_walk.h"

namespace lightcone::hardware {
namespace {

void require(bool holds, const MessageProgram& program, const std::string& what) {
  if (!holds) throw std::logic_error(program.name + ": " + what);
}

// What one class receives from and sends to, by index into peers.
struct Dealings {
  std::map<std::uint16_t, std::uint64_t> received, sent;
  bool multicasts = false, reduces = false;
};

Dealings dealings_of(const WorkerClass& worker_class) {
  Dealings out;
  for_each_step(worker_class, [&](const MessageStep& step, std::uint64_t times) {
    if (step.receive != kNoPeer) out.received[step.receive] += times;
    if (step.delivery == Delivery::unicast && step.send != kNoPeer) out.sent[step.send] += times;
    out.multicasts = out.multicasts || step.delivery == Delivery::multicast;
    out.reduces = out.reduces || step.delivery == Delivery::reduced_load;
  });
  return out;
}

void check_workers(const MessageProgram& program, const std::vector<Dealings>& dealings) {
  for (std::size_t w = 0; w < program.workers.size(); ++w) {
    const MessageWorker& worker = program.workers[w];
    require(worker.rank < program.gpus.size(), program, fmt::format("worker {} is on no rank", w));
    require(worker.worker_class < program.classes.size(), program, fmt::format("worker {} has no class", w));
    for (const std::uint32_t peer : worker.peers)
      require(peer < program.workers.size() && peer != w, program, fmt::format("worker {} has no such peer", w));
    const Dealings& d = dealings[worker.worker_class];
    for (const auto* side : {&d.received, &d.sent}) {
      if (!side->empty())
        require(side->rbegin()->first < worker.peers.size(), program, fmt::format("worker {} has too few peers", w));
    }
    if (d.multicasts || d.reduces)
      require(worker.group < program.groups.size() && !program.groups[worker.group].empty(), program,
              fmt::format("worker {} has no group", w));
  }
}

// As many messages as are sent from one worker to another are received there, where no multicast comes in between.
void check_balance(const MessageProgram& program, const std::vector<Dealings>& dealings) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> under_way;
  const auto of = [&](std::uint32_t w) -> const Dealings& { return dealings[program.workers[w].worker_class]; };
  for (std::uint32_t w = 0; w < program.workers.size(); ++w) {
    for (const auto& [peer, times] : of(w).sent) under_way[{w, program.workers[w].peers[peer]}] += times;
  }
  for (std::uint32_t w = 0; w < program.workers.size(); ++w) {
    for (const auto& [peer, times] : of(w).received) {
      const std::uint32_t from = program.workers[w].peers[peer];
      if (of(from).multicasts) continue;
      std::uint64_t& left = under_way[{from, w}];
      require(left >= times, program,
              fmt::format("worker {} receives {} messages from worker {}, which sends {}", w, times, from, left));
      left -= times;
    }
  }
  for (const auto& [ends, left] : under_way)
    require(left == 0 || of(ends.first).multicasts, program,
            fmt::format("{} messages from worker {} to worker {} are never received", left, ends.first, ends.second));
}

}  // namespace

void check(const MessageProgram& program) {
  std::vector<Dealings> dealings;
  for (const WorkerClass& worker_class : program.classes) {
    require(worker_class.slots > 0, program, worker_class.name + " has no slots");
    require(worker_class.wire_per_payload >= 1, program, worker_class.name + " sends less than its payload");
    dealings.push_back(dealings_of(worker_class));
  }
  check_workers(program, dealings);
  check_balance(program, dealings);
  for (const auto& group : program.groups) {
    for (const std::uint32_t rank : group) require(rank < program.gpus.size(), program, "a group has no such rank");
  }
  require(program.symmetry.empty() || program.symmetry.size() == program.gpus.size(), program,
          "symmetry must name a class for every rank, or for none");
}

}  // namespace lightcone::hardware
