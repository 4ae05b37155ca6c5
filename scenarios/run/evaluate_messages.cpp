// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/evaluate_messages.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "sim/base/error.h"
#include "sim/observe/message_result_io.h"

namespace lightcone::scenarios {
namespace {

void evaluate_here(const hardware::MessageProgram& program, const hardware::MachineGraph& graph,
                   const MessageFunction& function, EvaluatedKernel& out) {
  try {
    out.messages = function(program, graph);
  } catch (const std::exception& error) {
    out.error = error.what();
  }
}

}  // namespace

KernelResult as_kernel(const MessageResult& messages, std::size_t gpus, const hardware::GpuSpec& gpu) {
  KernelResult out;
  out.program = messages.program;
  out.evaluator = messages.evaluator;
  out.time = messages.time;
  out.launch = messages.start;
  out.clock = gpu.clock.boost;
  const double body = std::max(0.0, (messages.time - messages.start).count());
  out.cycles = Cycles(static_cast<std::uint64_t>(std::llround(body * gpu.clock.boost.count())));
  // What a rank computes inside (ring attention) hides as much of its messages.
  const double computes = body > 0 ? std::min(1.0, messages.longest_compute.count() / body) : 0;
  const double all = gpu.sm_count * out.cycles.real();
  out.reason_cycles[static_cast<std::size_t>(CycleReason::communication)] = all * (1 - computes);
  out.reason_cycles[static_cast<std::size_t>(CycleReason::tensor)] = all * computes;
  out.work.hbm_read = messages.memory_read;
  out.work.hbm_written = messages.memory_written;
  const double moved = (messages.memory_read + messages.memory_written).real();
  out.energy.idle = Joules(gpu.power.idle.count() * messages.time.count());
  out.energy.sm = Joules(gpu.power.sm_active_watts * messages.sms * body);
  out.energy.hbm = Joules(gpu.power.hbm_pj_per_byte * moved * 1e-12);
  out.energy.l2 = Joules(gpu.power.l2_pj_per_byte * moved * 1e-12);
  out.energy.links = Joules(messages.energy.count() / static_cast<double>(std::max<std::size_t>(1, gpus)));
  out.simulated_fraction = messages.simulated_fraction;
  return out;
}

std::vector<EvaluatedKernel> evaluate_messages(const std::vector<hardware::MessageProgram>& programs,
                                               const hardware::MachineGraph& graph, const std::string& fabric_hash,
                                               const hardware::GpuSpec& gpu, const EvaluationSettings& settings,
                                               const Workbench& bench) {
  const bool cycle = settings.fidelity == Evaluator::cycle;
  std::map<std::string, std::size_t> seen;
  std::vector<std::size_t> slot, missing;
  std::vector<const hardware::MessageProgram*> unique;
  std::vector<EvaluatedKernel> results;
  std::vector<std::string> keys;
  for (const hardware::MessageProgram& program : programs) {
    EvaluatedKernel one;
    one.hash = content_hash(program);
    const auto [entry, is_new] = seen.emplace(one.hash, unique.size());
    slot.push_back(entry->second);
    if (!is_new) continue;
    unique.push_back(&program);
    keys.push_back(messages_key(one.hash, fabric_hash, settings.fidelity));
    if (!cycle) {
      InterruptGuard::check();
      evaluate_here(program, graph, bench.evaluators.messages_analytical, one);
    } else if (auto found = bench.store.get_messages(keys.back())) {
      one.messages = *std::move(found);
      one.from_store = true;
    } else {
      missing.push_back(results.size());
    }
    results.push_back(std::move(one));
  }
  if (!missing.empty()) bench.progress.start("collectives simulated", missing.size());
  bench.pool.run(
      missing.size(),
      [&](std::size_t job) { return serialise(bench.evaluators.messages_cycle(*unique[missing[job]], graph)); },
      [&](std::size_t job, JobOutcome&& outcome) {
        EvaluatedKernel& one = results[missing[job]];
        if (outcome.ok) one.messages = parse_message_result(outcome.payload);
        if (one.messages) {
          bench.store.put(keys[missing[job]], *one.messages);
        } else {
          one.error = outcome.ok ? "the simulating process sent an unreadable result" : outcome.error;
        }
        bench.progress.advance(!one.error.empty());
      });
  bench.progress.finish();
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].messages) results[i].result = as_kernel(*results[i].messages, unique[i]->gpus.size(), gpu);
  }
  std::vector<EvaluatedKernel> all;
  all.reserve(programs.size());
  for (const std::size_t place : slot) all.push_back(results[place]);
  return all;
}

}  // namespace lightcone::scenarios
