// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "scenarios/run/explain.h"

namespace lightcone::scenarios {
namespace {

constexpr double kFaster = 1.1;

void scale_down(Cycles& cycles) { cycles = Cycles(static_cast<std::uint64_t>(std::llround(cycles.real() / kFaster))); }
void scale_down(Picoseconds& time) {
  time = Picoseconds(static_cast<std::uint64_t>(std::llround(time.real() / kFaster)));
}

void more_tensor(hardware::GpuSpec& gpu) {
  for (auto& [format, rate] : gpu.sm.tensor.flops_per_clock) rate *= kFaster;
}
void more_fp32(hardware::GpuSpec& gpu) {
  gpu.sm.fp32_lanes *= kFaster;
  gpu.sm.int_lanes *= kFaster;
  gpu.sm.issue_slots *= kFaster;
}
void more_sfu(hardware::GpuSpec& gpu) { gpu.sm.sfu_lanes *= kFaster; }
void more_shared(hardware::GpuSpec& gpu) { gpu.sm.shared_bytes_per_clock *= kFaster; }
void more_l2(hardware::GpuSpec& gpu) {
  gpu.l2.slice_bytes_per_clock *= kFaster;
  gpu.l2.slice_write_bytes_per_clock *= kFaster;
  gpu.noc.sm_read_bytes_per_clock *= kFaster;
  gpu.noc.sm_write_bytes_per_clock *= kFaster;
  gpu.noc.partition_link_bytes_per_clock *= kFaster;
}
// The clock of the interface and of the DRAM commands together, so that bursts still fit the data bus.
void more_hbm(hardware::GpuSpec& gpu) {
  gpu.hbm.gigabits_per_second_per_pin *= kFaster;
  scale_down(gpu.hbm.timing.tCK);
}
void less_latency(hardware::GpuSpec& gpu) {
  for (Cycles* cycles : {&gpu.noc.request_latency, &gpu.noc.response_latency, &gpu.noc.far_latency, &gpu.l2.hit_latency,
                         &gpu.sm.copy.extra_latency}) {
    scale_down(*cycles);
  }
  scale_down(gpu.hbm.controller_latency);
}
void less_launch(hardware::GpuSpec& gpu) {
  gpu.launch.graph_kernel = gpu.launch.graph_kernel / kFaster;
  gpu.launch.stream_kernel = gpu.launch.stream_kernel / kFaster;
  gpu.launch.eager_framework = gpu.launch.eager_framework / kFaster;
  scale_down(gpu.launch.kernel_start);
  scale_down(gpu.launch.kernel_end);
  scale_down(gpu.sm.cta_launch);
}
// The voltage, and with it power, goes up as the machine's own law says (power.reference).
void more_clock(hardware::GpuSpec& gpu) {
  gpu.clock.boost = gpu.clock.boost * kFaster;
  gpu.clock.maximum = gpu.clock.maximum * kFaster;
}
void more_power(hardware::GpuSpec& gpu) { gpu.power.limit = gpu.power.limit * kFaster; }

}  // namespace

const std::vector<ResourceChange>& resource_changes() {
  static const std::vector<ResourceChange> changes{
      {"tensor cores", "tensor FLOPs per clock + 10 %", more_tensor},
      {"FP32 lanes and issue", "FP32 and integer lanes and issue slots + 10 %", more_fp32},
      {"special-function units", "special functions per clock + 10 %", more_sfu},
      {"shared memory", "shared-memory bytes per clock + 10 %", more_shared},
      {"L2 bandwidth", "L2 slices and crossbar bytes per clock + 10 %", more_l2},
      {"HBM bandwidth", "HBM data rate + 10 %", more_hbm},
      {"lower memory latency", "crossbar, L2 and HBM controller latency / 1.1", less_latency},
      {"shorter launch", "kernel and CTA start-up and completion / 1.1", less_launch},
      {"clock", "boost and maximum clock + 10 % at the voltage they need, same power limit", more_clock},
      {"power limit", "board power limit + 10 %", more_power},
  };
  return changes;
}

}  // namespace lightcone::scenarios
