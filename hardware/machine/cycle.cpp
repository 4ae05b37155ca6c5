// SPDX-License-Identifier: Apache-2.0
// The cycle evaluator: builds the GPU in two clock domains, plays the program, and turns what the parts counted into a
// KernelResult. When the run was sampled, the rest of the grid is extrapolated from the last round of work items.
#include <algorithm>
#include <cmath>

#include "hardware/machine/evaluate.h"
#include "hardware/machine/gpu_core.h"
#include "hardware/power/energy.h"
#include "hardware/power/governor.h"
#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

// What the whole kernel did: counted up to the last simulated cycle, plus the extrapolated rest.
struct Played {
  CoreSnapshot sum;
  double end_cycle = 0;
  double simulated_fraction = 1;
};

// a + k * (b - c), field by field.
CoreSnapshot extended(const CoreSnapshot& a, double k, const CoreSnapshot& b, const CoreSnapshot& c) {
  CoreSnapshot out = a;
  const auto add = [k](double& field, double later, double earlier) { field += k * (later - earlier); };
  for (std::size_t f = 0; f < out.mma_flops.size(); ++f) add(out.mma_flops[f], b.mma_flops[f], c.mma_flops[f]);
  add(out.mma_useful, b.mma_useful, c.mma_useful);
  add(out.vector_flops, b.vector_flops, c.vector_flops);
  add(out.fp32_ops, b.fp32_ops, c.fp32_ops);
  add(out.sfu_ops, b.sfu_ops, c.sfu_ops);
  add(out.shared_bytes, b.shared_bytes, c.shared_bytes);
  add(out.loaded_bytes, b.loaded_bytes, c.loaded_bytes);
  add(out.stored_bytes, b.stored_bytes, c.stored_bytes);
  add(out.l2_read, b.l2_read, c.l2_read);
  add(out.l2_hit, b.l2_hit, c.l2_hit);
  add(out.l2_written, b.l2_written, c.l2_written);
  add(out.hbm_read, b.hbm_read, c.hbm_read);
  add(out.hbm_written, b.hbm_written, c.hbm_written);
  add(out.tensor_busy, b.tensor_busy, c.tensor_busy);
  add(out.fp32_busy, b.fp32_busy, c.fp32_busy);
  add(out.sfu_busy, b.sfu_busy, c.sfu_busy);
  add(out.shared_busy, b.shared_busy, c.shared_busy);
  add(out.l2_busy, b.l2_busy, c.l2_busy);
  for (std::size_t r = 0; r < out.reasons.size(); ++r) add(out.reasons[r], b.reasons[r], c.reasons[r]);
  return out;
}

Played whole_kernel(GpuCore& core, const TileProgram& program, const GpuSpec& gpu) {
  Played out;
  const CoreSnapshot seen = core.snapshot(core.end());
  out.end_cycle = static_cast<double>(core.end());
  out.sum = seen;
  if (!core.scheduler().needs_extrapolation()) return out;

  const Extrapolation rest = core.scheduler().extrapolate(core.end());
  out.simulated_fraction = rest.simulated_fraction;
  const auto& rounds = core.rounds();
  const bool two_rounds = rounds.size() >= 2;
  const CoreSnapshot& last = two_rounds ? rounds.back() : seen;
  const CoreSnapshot before = two_rounds ? rounds[(rounds.size() - 1) / 2] : CoreSnapshot{};
  // The rest, in units of the second half of the rounds: from the items that are still to be loaded for.
  const ProgramTotals exact = totals(program);
  const double round_bytes = last.loaded_bytes + last.stored_bytes - before.loaded_bytes - before.stored_bytes;
  const double all_bytes = exact.loaded.real() + exact.stored.real();
  const double left_bytes = all_bytes - seen.loaded_bytes - seen.stored_bytes;
  const double left = round_bytes > 0 ? std::max(0.0, left_bytes / round_bytes) : 0;
  out.sum = extended(seen, left, last, before);
  // What is known exactly is not extrapolated.
  const double executed_seen = [&] {
    double sum = 0;
    for (const double flops : out.sum.mma_flops) sum += flops;
    return sum;
  }();
  for (double& flops : out.sum.mma_flops) {
    if (executed_seen > 0) flops *= exact.mma_executed.real() / executed_seen;
  }
  out.sum.mma_useful = exact.mma_useful.real();
  out.sum.vector_flops = exact.vector_flops.real();
  out.sum.loaded_bytes = exact.loaded.real();
  out.sum.stored_bytes = exact.stored.real();

  // Reasons: the rest looks like the last round, then slots run out of work.
  out.end_cycle = rest.end_cycle;
  const double sms = gpu.sm_count;
  const double total = sms * (rest.end_cycle - seen.cycle);
  const double idle = std::min(total, sms * rest.idle_slot_cycles / core.slots());
  double round_total = 0;
  for (std::size_t r = 0; r < kCycleReasonCount; ++r) round_total += last.reasons[r] - before.reasons[r];
  for (std::size_t r = 0; r < kCycleReasonCount; ++r) {
    const double share = round_total > 0 ? (last.reasons[r] - before.reasons[r]) / round_total : 0;
    out.sum.reasons[r] = seen.reasons[r] + share * (total - idle);
  }
  out.sum.reasons[static_cast<std::size_t>(CycleReason::idle)] += idle;
  return out;
}

std::uint64_t whole(double value) { return static_cast<std::uint64_t>(std::llround(std::max(value, 0.0))); }

WorkCounters counters(const CoreSnapshot& sum, std::uint64_t ctas) {
  WorkCounters work;
  double executed = 0;
  for (const double flops : sum.mma_flops) executed += flops;
  work.mma_executed = Flops(whole(executed));
  work.mma_useful = Flops(whole(sum.mma_useful));
  work.vector_flops = Flops(whole(sum.vector_flops));
  work.lane_ops = whole(sum.fp32_ops);
  work.sfu_ops = whole(sum.sfu_ops);
  work.shared_bytes = Bytes(whole(sum.shared_bytes));
  work.l2_read = Bytes(whole(sum.l2_read));
  work.l2_written = Bytes(whole(sum.l2_written));
  work.l2_hit = Bytes(whole(sum.l2_hit));
  work.hbm_read = Bytes(whole(sum.hbm_read));
  work.hbm_written = Bytes(whole(sum.hbm_written));
  work.ctas = ctas;
  return work;
}

// Utilisation between successive snapshots.
std::vector<UtilisationSample> timeline(const std::vector<CoreSnapshot>& samples, const GpuSpec& gpu, Hertz clock,
                                        const Played& played, const CoreSnapshot& seen) {
  std::vector<UtilisationSample> out;
  const auto add = [&](const CoreSnapshot& a, const CoreSnapshot& b) {
    const double cycles = b.cycle - a.cycle;
    if (cycles <= 0) return;
    const double sms = gpu.sm_count;
    const double hbm_bytes = b.hbm_read + b.hbm_written - a.hbm_read - a.hbm_written;
    const auto share = [](double x) { return std::clamp(x, 0.0, 1.0); };
    UtilisationSample s;
    s.start_us = a.cycle / clock.count() * 1e6;
    s.end_us = b.cycle / clock.count() * 1e6;
    s.tensor = share((b.tensor_busy - a.tensor_busy) / cycles / sms);
    s.fp32 = share((b.fp32_busy - a.fp32_busy) / cycles / sms);
    s.sfu = share((b.sfu_busy - a.sfu_busy) / cycles / sms);
    s.shared = share((b.shared_busy - a.shared_busy) / cycles / sms);
    s.l2 = share((b.l2_busy - a.l2_busy) / cycles / gpu.l2.slices);
    s.hbm = share(hbm_bytes / (cycles / clock.count()) / gpu.hbm.peak().count());
    out.push_back(s);
  };
  for (std::size_t i = 1; i < samples.size(); ++i) add(samples[i - 1], samples[i]);
  CoreSnapshot end = played.sum;
  end.cycle = played.end_cycle;
  if (played.simulated_fraction < 1) {
    add(seen, end);
  } else if (!samples.empty()) {
    add(samples.back(), seen);
  }
  return out;
}

// The governor on what was counted: the clock that this kernel, run back to back, would have.
GovernedClock clock_under_power(const GpuSpec& gpu, const WorkCounters& work, const FormatFlops& executed, Seconds body,
                                Seconds launch, Hertz simulated, double active_sms) {
  const EnergyBreakdown at_reference = energy_of(work, executed, body, gpu.power.reference, active_sms, gpu);
  Activity activity;
  activity.core = at_reference.tensor + at_reference.vector + at_reference.shared + at_reference.l2;
  activity.memory = at_reference.hbm;
  activity.memory_time = Seconds((work.hbm_read + work.hbm_written).real() / gpu.hbm.peak().count());
  activity.overhead = launch;
  activity.active_sms = active_sms;
  // Core cycles such that core and memory together take the simulated time.
  activity.core_cycles = core_part(body, activity.memory_time).count() * simulated.count();
  return govern(gpu, activity);
}

}  // namespace

KernelResult evaluate_cycle(const TileProgram& program, const GpuSpec& rated, const EvaluateOptions& options) {
  const std::optional<GpuSpec> light = without_tensor_load(program, rated);
  const GpuSpec& gpu = light ? *light : rated;
  if (occupancy(program, gpu.sm) == 0) throw ConfigError(program.name + ": one CTA does not fit an SM of " + gpu.name);
  // The governor's clock is a fixed point; the closed form starts it near its end, the simulation corrects the rest.
  const KernelResult closed_form = evaluate_analytical(program, gpu, options);
  const Hertz clock = closed_form.clock;

  GpuCore core(program, gpu, options);
  engine::ClockDomain core_domain("core", clock, core);
  engine::ClockDomain hbm_domain("hbm", Hertz(1e12 / gpu.hbm.timing.tCK.real()), core.hbm());
  core.attach(core_domain);
  core.hbm().attach(hbm_domain);
  core_domain.wake_at(gpu.launch.kernel_start.count());
  engine::run_until_idle();
  if (!core.finished()) {
    throw RunError(program.name + ": the roles wait for each other (deadlock) after " +
                   std::to_string(core.scheduler().completed()) + " of " + std::to_string(core.scheduler().total()) +
                   " work items; " + core.outstanding());
  }

  const CoreSnapshot seen = core.snapshot(core.end());
  Played played = whole_kernel(core, program, gpu);
  const double end_cycles = gpu.launch.kernel_end.real();
  const double cycles = played.end_cycle + end_cycles;
  played.sum.reasons[static_cast<std::size_t>(CycleReason::launch)] += end_cycles * gpu.sm_count;

  KernelResult out;
  out.program = program.name;
  out.evaluator = Evaluator::cycle;
  out.work = counters(played.sum, program.cta_count());
  out.reason_cycles = played.sum.reasons;
  out.simulated_fraction = played.simulated_fraction;
  out.bounds = closed_form.bounds;
  const Seconds gap = options.launch == LaunchMode::graph ? gpu.launch.graph_kernel : gpu.launch.stream_kernel;
  const Seconds body(cycles / clock.count());

  FormatFlops executed{};
  for (std::size_t f = 0; f < executed.size(); ++f) executed[f] = Flops(whole(played.sum.mma_flops[f]));
  const double all = gpu.sm_count * cycles;
  const double active = gpu.sm_count * (1 - (out.reason_cycles[static_cast<std::size_t>(CycleReason::idle)] +
                                             out.reason_cycles[static_cast<std::size_t>(CycleReason::launch)]) /
                                                all);
  const GovernedClock governed = clock_under_power(gpu, out.work, executed, body, gap, clock, active);
  out.clock = governed.clock;
  out.power_limit_held = governed.limit_held;
  const double on_memory = out.reason_cycles[static_cast<std::size_t>(CycleReason::wait_hbm)] / all;
  const Seconds corrected(body.count() * (on_memory + (1 - on_memory) * clock.count() / out.clock.count()));
  // At that clock: memory takes its time whatever the SMs' clock, so waiting for it takes fewer of their cycles.
  out.reason_cycles[static_cast<std::size_t>(CycleReason::wait_hbm)] *= out.clock.count() / clock.count();
  out.cycles = Cycles(whole(corrected.count() * out.clock.count()));
  out.time = corrected + gap;
  out.launch = gap + Seconds((gpu.launch.kernel_start.real() + end_cycles) / out.clock.count());
  out.energy = energy_of(out.work, executed, out.time, out.clock, active * (corrected / out.time), gpu);
  if (options.timeline) out.timeline = timeline(core.samples(), gpu, out.clock, played, seen);
  return out;
}

}  // namespace lightcone::hardware
