// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/spec_hash.h"

#include <map>

#include "sim/base/content_hash.h"

namespace lightcone::hardware {
namespace {

// Adds any field: plain numbers, quantities, and numbers by format.
class FieldHash {
 public:
  template <class... Fields>
  void add(const Fields&... fields) {
    (add_one(fields), ...);
  }
  [[nodiscard]] std::string hex() const { return hash_.hex(); }

 private:
  template <class Tag, class Rep>
  void add_one(const Quantity<Tag, Rep>& quantity) {
    hash_.add(quantity.count());
  }
  void add_one(const std::map<NumberFormat, double>& by_format) {
    hash_.add(by_format.size());
    for (const auto& [format, value] : by_format) hash_.add(format).add(value);
  }
  template <class Number>
  requires std::is_arithmetic_v<Number> || std::is_enum_v<Number>
  void add_one(Number number) { hash_.add(number); }
  ContentHash hash_;
};

void add_sm(FieldHash& hash, const SmSpec& sm) {
  hash.add(sm.sub_partitions, sm.tensor.generation, sm.tensor.flops_per_clock, sm.tensor.latency,
           sm.tensor.issue_efficiency, sm.tensor.special_hold, sm.fp32_lanes, sm.int_lanes, sm.sfu_lanes,
           sm.issue_slots);
  hash.add(sm.shared_memory, sm.shared_memory_per_cta, sm.l1_and_shared, sm.shared_bytes_per_clock, sm.shared_latency,
           sm.l1_latency, sm.l1_bytes_per_clock, sm.load_lines_in_flight);
  hash.add(sm.registers, sm.max_threads, sm.max_ctas, sm.barrier_latency, sm.cta_launch);
  hash.add(sm.copy.tma, sm.copy.lines_per_clock, sm.copy.extra_latency, sm.copy.lines_in_flight);
}

void add_hbm(FieldHash& hash, const HbmSpec& hbm) {
  const HbmTiming& t = hbm.timing;
  hash.add(hbm.stacks, hbm.channels_per_stack, hbm.pseudo_channels_per_channel, hbm.pseudo_channel_bits,
           hbm.gigabits_per_second_per_pin, hbm.bank_groups, hbm.banks_per_group, hbm.page, hbm.access);
  hash.add(t.tCK, t.nBL, t.nCL, t.nCWL, t.nRCDRD, t.nRCDWR, t.nRP, t.nRAS, t.nRC, t.nWR, t.nRTP, t.nCCDS, t.nCCDL,
           t.nRRDS, t.nRRDL, t.nFAW, t.nWTRS, t.nWTRL, t.nRTW, t.nRFC, t.nREFI, t.nRFCpb, t.nREFIpb);
  hash.add(hbm.queue_depth, hbm.per_bank_refresh, hbm.controller_latency, hbm.capacity);
}

}  // namespace

std::string spec_hash(const GpuSpec& gpu) {
  FieldHash hash;
  hash.add(gpu.sm_count, gpu.clock.boost, gpu.clock.minimum, gpu.clock.maximum);
  add_sm(hash, gpu.sm);
  hash.add(gpu.noc.request_latency, gpu.noc.response_latency, gpu.noc.sm_read_bytes_per_clock,
           gpu.noc.sm_write_bytes_per_clock, gpu.noc.far_latency, gpu.noc.partition_link_bytes_per_clock);
  hash.add(gpu.l2.capacity, gpu.l2.partitions, gpu.l2.slices, gpu.l2.ways, gpu.l2.line, gpu.l2.sector,
           gpu.l2.slice_bytes_per_clock, gpu.l2.slice_write_bytes_per_clock, gpu.l2.hit_latency,
           gpu.l2.same_address_atomic, gpu.l2.mshrs_per_slice, gpu.l2.interleave);
  add_hbm(hash, gpu.hbm);
  hash.add(gpu.launch.graph_kernel, gpu.launch.stream_kernel, gpu.launch.eager_framework,
           gpu.launch.cta_dispatch_cycles, gpu.launch.kernel_start, gpu.launch.kernel_end);
  hash.add(gpu.power.limit, gpu.power.idle, gpu.power.tensor_pj_per_flop, gpu.power.fp32_pj_per_flop,
           gpu.power.sfu_pj_per_op, gpu.power.shared_pj_per_byte, gpu.power.l2_pj_per_byte, gpu.power.hbm_pj_per_byte,
           gpu.power.sm_active_watts, gpu.power.reference, gpu.power.voltage_exponent);
  return hash.hex();
}

}  // namespace lightcone::hardware
