// SPDX-License-Identifier: Apache-2.0
// The cycle evaluator of collectives: folds equal ranks, lays out links and channels, plays every message in one clock
// domain, and turns what the parts counted into a MessageResult.
#include <algorithm>

#include "hardware/machine/evaluate_messages.h"
#include "hardware/machine/message_energy.h"
#include "hardware/machine/message_machine.h"
#include "hardware/machine/message_ranks.h"
#include "sim/base/error.h"

namespace lightcone::hardware {
namespace {

// What fills more than half of the time limits it; otherwise it is waiting.
std::string bound_by(const MessageResult& result, const MessageMachine& machine, Seconds body) {
  if (result.longest_compute.count() > result.time.count() / 2) return "compute";
  double link_share = 0, worker_share = 0;
  std::string kind;
  for (const LinkUse& use : result.links) {
    if (use.busiest <= link_share) continue;
    link_share = use.busiest;
    kind = use.kind;
  }
  for (std::size_t w = 0; w < machine.layout().workers.size() && body.count() > 0; ++w)
    worker_share = std::max(worker_share, static_cast<double>(machine.worker_busy_ps(w)) * 1e-12 / body.count());
  if (link_share > 0.5 && link_share >= 0.9 * worker_share) return "link " + kind;
  return worker_share > 0.5 ? "worker" : "latency";
}

}  // namespace

MessageResult evaluate_messages_cycle(const MessageProgram& program, const MachineGraph& graph,
                                      const MessageOptions& options) {
  const PeerSlots slots(program);
  const MessageFold folding = options.fold ? fold(program, graph, slots) : unfolded(program);
  MessageMachine machine(program, graph.fabric(), lay_out(program, graph, folding, slots));
  engine::ClockDomain domain("fabric", Hertz(1e12 / MessageMachine::kCyclePs), machine);
  domain.wake_at(0);
  engine::run_until_idle();
  if (!machine.finished())
    throw RunError(program.name + ": the workers wait for each other (deadlock): " + machine.outstanding());

  MessageResult out;
  out.program = program.name;
  out.evaluator = Evaluator::cycle;
  out.time = to_seconds(Picoseconds(machine.end_ps()));
  out.start = to_seconds(program.start);
  const Seconds body = out.time - out.start;
  count_ranks(program, out);
  out.links = link_uses(machine.layout(), program, graph, out.time, body);
  out.energy = switch_energy(machine.layout(), program, graph, out.time);
  for (const LinkUse& use : out.links) out.energy += use.energy;
  const MessageTotals sums = totals(program);
  out.messages = sums.messages;
  out.payload = sums.payload;
  out.simulated_fraction =
      static_cast<double>(folding.representative.size()) / static_cast<double>(program.gpus.size());
  out.bound_by = bound_by(out, machine, body);
  return out;
}

}  // namespace lightcone::hardware
