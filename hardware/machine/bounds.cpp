// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "hardware/machine/analytical.h"
#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

constexpr double kLine = 128;
constexpr double kWarp = 32;

double peak_rate(const SmSpec& sm, NumberFormat format) {
  const auto rate = sm.tensor.flops_per_clock.find(format);
  LIGHTCONE_ASSERT(rate != sm.tensor.flops_per_clock.end());  // the mapping checks formats
  return rate->second;
}

double tensor_cycles(const Demand& demand, const SmSpec& sm) {
  double cycles = 0;
  for (std::size_t i = 0; i < demand.mma_flops.size(); ++i) {
    if (demand.mma_flops[i] > 0) cycles += demand.mma_flops[i] / peak_rate(sm, kNumberFormats[i].format);
  }
  return cycles;
}

}  // namespace

double UnitCycles::busiest() const {
  return std::max({tensor_issued, fp32, sfu_held, issue, shared, l1, copy, port, l2, store});
}

UnitCycles unit_cycles(const Demand& demand, const SmView& view) {
  const SmSpec& sm = view.gpu->sm;
  const double latency = view.mean_load_latency;
  UnitCycles cycles;
  cycles.tensor = tensor_cycles(demand, sm);
  cycles.tensor_issued = cycles.tensor / sm.tensor.issue_efficiency;
  cycles.fp32 = std::max(demand.fp32_ops / sm.fp32_lanes, demand.int_ops / sm.int_lanes);
  cycles.sfu = demand.sfu_ops / sm.sfu_lanes;
  cycles.sfu_held = cycles.sfu > 0 ? cycles.sfu + sm.tensor.special_hold * cycles.tensor_issued : 0;
  cycles.issue = (demand.fp32_ops + demand.int_ops + demand.sfu_ops) / (kWarp * sm.issue_slots);
  cycles.shared =
      (demand.mma_shared_bytes + demand.other_shared_bytes + demand.copied_bytes) / sm.shared_bytes_per_clock;
  // A unit with a limited number of lines in flight moves that many per latency.
  const double lsu_rate = std::min(sm.l1_bytes_per_clock, sm.load_lines_in_flight * kLine / latency);
  const double copy_rate =
      kLine * std::min(sm.copy.lines_per_clock, sm.copy.lines_in_flight / (latency + sm.copy.extra_latency.real()));
  cycles.l1 = demand.register_bytes / lsu_rate;
  cycles.copy = demand.bulk_bytes / copy_rate;
  cycles.port = demand.received_bytes / view.port_bytes_per_clock;
  cycles.l2 = demand.requested_bytes / view.l2_bytes_per_clock + demand.stored_bytes / view.l2_write_bytes_per_clock;
  cycles.store = demand.stored_bytes / view.store_bytes_per_clock;
  return cycles;
}

ResourceBounds resource_bounds(const WorkSummary& work, const Traffic& traffic, const GpuSpec& gpu, LaunchMode launch) {
  const SmSpec& sm = gpu.sm;
  const Demand& total = work.total;
  const double boost = gpu.clock.boost.count();
  const auto per_sm = [&](double cycles) { return Seconds(cycles / gpu.sm_count / boost); };
  ResourceBounds bounds;
  bounds.tensor = per_sm(tensor_cycles(total, sm));
  bounds.fp32 = per_sm(std::max(total.fp32_ops / sm.fp32_lanes, total.int_ops / sm.int_lanes));
  bounds.sfu = per_sm(total.sfu_ops / sm.sfu_lanes);
  bounds.issue = per_sm((total.fp32_ops + total.int_ops + total.sfu_ops) / (kWarp * sm.issue_slots));
  bounds.shared = per_sm((total.mma_shared_bytes + total.other_shared_bytes) / sm.shared_bytes_per_clock);
  const double slices = gpu.l2.slices * gpu.l2.slice_bytes_per_clock;
  const double read_rate = std::min(slices, gpu.sm_count * gpu.noc.sm_read_bytes_per_clock);
  const double slices_write = gpu.l2.slices * gpu.l2.slice_write_bytes_per_clock;
  const double write_rate = std::min(slices_write, gpu.sm_count * gpu.noc.sm_write_bytes_per_clock);
  bounds.l2 = Seconds(std::max(traffic.at_least_requested / read_rate, traffic.at_least_stored / write_rate) / boost);
  bounds.hbm = Seconds(traffic.compulsory / gpu.hbm.peak().count());
  const Seconds gap = launch == LaunchMode::graph ? gpu.launch.graph_kernel : gpu.launch.stream_kernel;
  bounds.launch = gap + duration(gpu.launch.kernel_start + gpu.launch.kernel_end, gpu.clock.boost);
  return bounds;
}

}  // namespace lightcone::hardware
