// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/analytical.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "hardware/machine/wave_schedule.h"
#include "hardware/power/governor.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

// Writes meet at slices by chance: what the cycle machine sustains of the slices' write rate. (Their read rate in the
// machine files is what streams of reads sustain.)
constexpr double kSustainedL2Writes = 0.8;

constexpr double kCornerExponent = 4;

double soft_maximum(double a, double b) {
  const double larger = std::max(a, b);
  if (larger <= 0) return 0;
  return larger * std::pow(1 + std::pow(std::min(a, b) / larger, kCornerExponent), 1 / kCornerExponent);
}

// SM cycles that the slot of one of `residents` equal CTAs is taken: the timeline of one, or the units' work for all,
// whichever is longer; never more than one CTA after the other.
double slot_cycles(double alone, double busiest, double residents) {
  const double demand = residents * busiest;
  if (residents <= 1) return std::max(alone, demand);
  return std::max(std::min(soft_maximum(alone, demand), residents * alone), demand);
}

// The grid on the machine: SM cycles from the first CTA's launch to the last one's end.
struct Body {
  double cycles = 0;
  double active_sms = 0;  // average with a resident CTA
  double launch = 0;      // of the cycles, CTA start-up
  double serial = 0;      // cycles that CTAs queue for one thing: the dispatcher, or one address of atomics
};

// One kernel on one GPU, evaluated step by step.
class Estimate {
 public:
  Estimate(const TileProgram& program, const GpuSpec& gpu, const EvaluateOptions& options)
      : program_(program),
        gpu_(gpu),
        options_(options),
        resident_(occupancy(program, gpu.sm)),
        ctas_(program.cta_count()) {
    if (resident_ == 0) throw ConfigError("kernel " + program.name + " does not fit on an SM of " + gpu.name);
    LIGHTCONE_ASSERT(ctas_ > 0);
    const std::uint64_t sms = gpu.sm_count;
    residents_ = static_cast<double>(std::min<std::uint64_t>(resident_, ceil_div(ctas_, sms)));
    slots_ = std::min(ctas_, sms * resident_);
    work_ = summarize(program, slots_);
    traffic_ = memory_traffic(program, work_, gpu);
    const auto active = static_cast<double>(std::min(ctas_, sms));
    view_ = sm_view(program, gpu, traffic_, active, ctas_ <= sms * resident_);
  }

  KernelResult run() {
    const Body body = schedule();
    const Seconds memory = memory_time(traffic_, gpu_.hbm);
    const Cycles ends = gpu_.launch.kernel_start + gpu_.launch.kernel_end;
    const Seconds gap = options_.launch == LaunchMode::graph ? gpu_.launch.graph_kernel : gpu_.launch.stream_kernel;

    KernelResult result;
    result.program = program_.name;
    result.evaluator = Evaluator::analytical;
    result.simulated_fraction = 0;
    result.work = counters();
    result.bounds = resource_bounds(work_, traffic_, gpu_, options_.launch);
    const GovernedClock governed = clock(result.work, body, memory, gap + duration(ends, gpu_.clock.boost));
    result.clock = governed.clock;
    result.power_limit_held = governed.limit_held;
    result.launch = gap + duration(ends, result.clock);
    // A queue of its own beside the memory's: a floor, not work that shares the SMs' time.
    const Seconds running = std::max(overlapped(Seconds(body.cycles / result.clock.count()), memory),
                                     Seconds(body.serial / result.clock.count()));
    result.time = std::max(result.launch + running, largest(result.bounds));
    const double cycles = (result.time - gap).count() * result.clock.count();
    result.cycles = Cycles(static_cast<std::uint64_t>(std::llround(cycles)));
    const double active = body.active_sms * running.count() / result.time.count();
    result.energy = energy_of(result.work, work_.executed, result.time, result.clock, active, gpu_);
    explain(result, body, memory);
    return result;
  }

 private:
  // Steps 1 to 3: timelines, residents, list schedule.
  Body schedule() {
    std::vector<CtaTimeline> timelines;
    timelines.reserve(program_.classes.size());
    for (std::size_t i = 0; i < program_.classes.size(); ++i) {
      timelines.emplace_back(program_, program_.classes[i], work_.accesses[i], view_);
    }
    const double start_up = gpu_.sm.cta_launch.real();
    const auto sms = static_cast<double>(gpu_.sm_count);
    std::vector<EqualCtas> runs;
    double fill = 0, last_alone = 0, last_busiest = 0, demand = 0;
    for (std::size_t i = 0; i < program_.groups.size(); ++i) {
      const CtaGroup& group = program_.groups[i];
      const GroupWork& work = work_.groups[i];
      const auto count = static_cast<double>(work.ctas);
      const CtaTime time = timelines[group.cta_class].time(group.loops);
      const double busiest = unit_cycles(work.demand, view_).busiest() / count;
      const double alone = program_.persistent ? time.next : time.alone + start_up;
      const double cycles = slot_cycles(alone, busiest, residents_);
      if (i == 0 && program_.persistent) fill = std::max(0.0, time.alone - cycles) + start_up;
      if (!runs.empty() && runs.back().duration == cycles) {
        runs.back().count += work.ctas;
      } else {
        runs.push_back({cycles, work.ctas});
      }
      last_alone = alone;
      last_busiest = busiest;
      demand += busiest * count;
    }
    Schedule grid = list_schedule(runs, slots_);
    if (const std::uint64_t rest = ctas_ % slots_; runs.size() == 1 && rest != 0) {
      // A last wave with fewer CTAs per SM runs faster.
      const double full = static_cast<double>(ctas_ / slots_) * runs[0].duration;
      const double residents = std::ceil(static_cast<double>(rest) / sms);
      grid.makespan = full + slot_cycles(last_alone, last_busiest, residents);
    }
    const double launched = static_cast<double>(program_.persistent ? slots_ : ctas_);
    const double first_wave = static_cast<double>(slots_) * gpu_.launch.cta_dispatch_cycles;
    Body body;
    body.cycles = fill + first_wave + std::max(grid.makespan, demand / sms);
    body.serial =
        std::max(launched * gpu_.launch.cta_dispatch_cycles, work_.shared_signals * gpu_.l2.same_address_atomic.real());
    body.launch = std::min(std::max(body.cycles, body.serial), first_wave + start_up);
    const double used = std::min<double>(grid.busy / (static_cast<double>(slots_) * grid.makespan), 1);
    body.active_sms = std::min(sms, static_cast<double>(ctas_)) * (grid.makespan > 0 ? used : 1);
    return body;
  }

  GovernedClock clock(const WorkCounters& work, const Body& body, Seconds memory, Seconds overhead) const {
    const EnergyBreakdown e = energy_of(work, work_.executed, Seconds(0), gpu_.power.reference, 0, gpu_);
    Activity activity;
    activity.core = e.tensor + e.vector + e.shared + e.l2;
    activity.memory = e.hbm;
    activity.core_cycles = body.cycles;
    activity.memory_time = memory;
    activity.overhead = overhead;
    activity.active_sms = body.active_sms;
    return govern(gpu_, activity);
  }

  static Seconds largest(const ResourceBounds& b) {
    return std::max({b.tensor, b.fp32, b.sfu, b.issue, b.shared, b.l2, b.hbm, b.launch});
  }

  [[nodiscard]] WorkCounters counters() const {
    const auto bytes = [](double value) { return Bytes(static_cast<std::uint64_t>(std::llround(value))); };
    const Demand& total = work_.total;
    WorkCounters work;
    for (const Flops flops : work_.executed) work.mma_executed += flops;
    work.mma_useful = work_.useful;
    work.vector_flops = work_.vector_flops;
    work.lane_ops = static_cast<std::uint64_t>(work_.total.fp32_ops + work_.total.int_ops);
    work.sfu_ops = work_.sfu_ops;
    work.shared_bytes = bytes(total.mma_shared_bytes + total.other_shared_bytes + total.copied_bytes);
    work.l2_read = bytes(total.requested_bytes);
    work.l2_written = bytes(total.stored_bytes);
    work.hbm_read = bytes(traffic_.hbm_read);
    work.hbm_written = bytes(traffic_.hbm_written);
    work.l2_hit = work.l2_read - std::min(work.l2_read, work.hbm_read);
    work.ctas = ctas_;
    return work;
  }

  // Splits SMs x cycles into reasons along the critical path: the resource that takes longest gets all of its time. The
  // others overlap with it by chance, as if independent, and get what they add. What nothing covers is exposed latency.
  void explain(KernelResult& result, const Body& body, Seconds memory) const {
    auto& reason = result.reason_cycles;
    const auto at = [&](CycleReason r) -> double& { return reason[static_cast<std::size_t>(r)]; };
    const auto sms = static_cast<double>(gpu_.sm_count);
    const double cycles = result.cycles.real();
    const double ends = (gpu_.launch.kernel_start + gpu_.launch.kernel_end).real() + body.launch;
    const double launch = std::min(cycles, ends);
    at(CycleReason::launch) = sms * launch;
    const double active = body.active_sms * (cycles - launch);
    at(CycleReason::idle) = sms * (cycles - launch) - active;  // tail of the last wave, or a grid smaller than the GPU
    if (active <= 0) return;

    const UnitCycles units = unit_cycles(work_.total, view_);
    const double from_memory = memory.count() * result.clock.count() * body.active_sms;
    std::array<std::pair<double, CycleReason>, 8> busy{{
        {from_memory, CycleReason::wait_hbm},
        {units.tensor_issued, CycleReason::tensor},
        {units.sfu, CycleReason::sfu},
        {std::max(units.fp32, units.issue), CycleReason::fp32},
        {units.shared, CycleReason::shared},
        {work_.total.register_bytes / gpu_.sm.l1_bytes_per_clock, CycleReason::l1},
        {std::max(units.l2, units.port), CycleReason::wait_l2},
        {units.store, CycleReason::wait_store},
    }};
    std::stable_sort(busy.begin(), busy.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    double left = active;
    for (const auto& [time, why] : busy) {
      const double share = std::min(left, time * left / active);
      at(why) += share;
      left -= share;
    }
    // Latency: half in loads, by where their lines come from, half in pipes and barriers.
    const double missed =
        work_.total.requested_bytes > 0 ? std::min(1.0, traffic_.hbm_read / work_.total.requested_bytes) : 0;
    at(CycleReason::wait_hbm) += 0.5 * left * missed;
    at(CycleReason::wait_l2) += 0.5 * left * (1 - missed);
    at(CycleReason::wait_barrier) += 0.5 * left;
  }

  const TileProgram& program_;
  const GpuSpec& gpu_;
  const EvaluateOptions& options_;
  std::uint32_t resident_;  // CTAs that fit on one SM
  std::uint64_t ctas_;
  double residents_ = 1;  // that share an SM in a full wave of this grid
  std::uint64_t slots_ = 1;
  WorkSummary work_;
  Traffic traffic_;
  SmView view_;
};

}  // namespace

SmView sm_view(const TileProgram& program, const GpuSpec& gpu, const Traffic& traffic, double active_sms,
               bool single_wave) {
  const double boost = gpu.clock.boost.count();
  const NocSpec& noc = gpu.noc;
  SmView view;
  view.gpu = &gpu;
  view.port_bytes_per_clock = noc.sm_read_bytes_per_clock;
  view.l2_bytes_per_clock = gpu.l2.slices * gpu.l2.slice_bytes_per_clock / active_sms;
  view.l2_write_bytes_per_clock = kSustainedL2Writes * gpu.l2.slices * gpu.l2.slice_write_bytes_per_clock / active_sms;
  view.store_bytes_per_clock = std::min(noc.sm_write_bytes_per_clock, view.l2_write_bytes_per_clock);
  // Half of the lines are in the far partition: half of two extra hops and of a second slice.
  const double far = gpu.l2.partitions > 1 ? noc.far_latency.real() + gpu.l2.hit_latency.real() / 2 : 0;
  view.l2_latency = gpu.near_l2_latency().real() + far;
  view.store_latency = view.l2_latency;
  const HbmTiming& t = gpu.hbm.timing;
  const double dram = (t.nRCDRD + t.nCL + t.nBL) * to_seconds(t.tCK).count();
  const double beyond = (to_seconds(gpu.hbm.controller_latency).count() + dram) * boost;
  double weighted = 0, bytes = 0;
  for (std::size_t i = 0; i < program.tensors.size(); ++i) {
    // A stage has landed when its slowest line has: a few misses are enough to show the whole latency.
    const double miss = traffic.tensors[i].miss_share;
    const bool cold_start = single_wave && program.tensors[i].residency == Residency::cold && miss > 0;
    const double latency = view.l2_latency + beyond * (cold_start ? 1.0 : std::min(1.0, 4 * miss));
    view.load_latency.push_back(latency);
    weighted += traffic.tensors[i].requested * (view.l2_latency + beyond * miss);
    bytes += traffic.tensors[i].requested;
  }
  view.mean_load_latency = bytes > 0 ? weighted / bytes : view.l2_latency;
  return view;
}

KernelResult evaluate_analytical(const TileProgram& program, const GpuSpec& gpu, const EvaluateOptions& options) {
  const std::optional<GpuSpec> light = without_tensor_load(program, gpu);
  return Estimate(program, light ? *light : gpu, options).run();
}

}  // namespace lightcone::hardware
