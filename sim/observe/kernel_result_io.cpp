// SPDX-License-Identifier: Apache-2.0
#include "sim/observe/kernel_result_io.h"

#include <algorithm>
#include <limits>

#include "sim/observe/kernel_result.pb.h"
#include "sim/observe/message_result.pb.h"
#include "sim/observe/message_result_io.h"

namespace lightcone {
namespace {

void write(const ResourceBounds& from, observe::ResourceBounds& to) {
  to.set_tensor_s(from.tensor.count());
  to.set_fp32_s(from.fp32.count());
  to.set_sfu_s(from.sfu.count());
  to.set_issue_s(from.issue.count());
  to.set_shared_s(from.shared.count());
  to.set_l2_s(from.l2.count());
  to.set_hbm_s(from.hbm.count());
  to.set_launch_s(from.launch.count());
}

ResourceBounds read(const observe::ResourceBounds& from) {
  return {Seconds(from.tensor_s()), Seconds(from.fp32_s()), Seconds(from.sfu_s()), Seconds(from.issue_s()),
          Seconds(from.shared_s()), Seconds(from.l2_s()),   Seconds(from.hbm_s()), Seconds(from.launch_s())};
}

void write(const WorkCounters& from, observe::WorkCounters& to) {
  to.set_mma_executed_flops(from.mma_executed.count());
  to.set_mma_useful_flops(from.mma_useful.count());
  to.set_vector_flops(from.vector_flops.count());
  to.set_lane_ops(from.lane_ops);
  to.set_sfu_ops(from.sfu_ops);
  to.set_shared_bytes(from.shared_bytes.count());
  to.set_l2_read_bytes(from.l2_read.count());
  to.set_l2_written_bytes(from.l2_written.count());
  to.set_l2_hit_bytes(from.l2_hit.count());
  to.set_hbm_read_bytes(from.hbm_read.count());
  to.set_hbm_written_bytes(from.hbm_written.count());
  to.set_ctas(from.ctas);
}

WorkCounters read(const observe::WorkCounters& from) {
  WorkCounters to;
  to.mma_executed = Flops(from.mma_executed_flops());
  to.mma_useful = Flops(from.mma_useful_flops());
  to.vector_flops = Flops(from.vector_flops());
  to.lane_ops = from.lane_ops();
  to.sfu_ops = from.sfu_ops();
  to.shared_bytes = Bytes(from.shared_bytes());
  to.l2_read = Bytes(from.l2_read_bytes());
  to.l2_written = Bytes(from.l2_written_bytes());
  to.l2_hit = Bytes(from.l2_hit_bytes());
  to.hbm_read = Bytes(from.hbm_read_bytes());
  to.hbm_written = Bytes(from.hbm_written_bytes());
  to.ctas = from.ctas();
  return to;
}

void write(const EnergyBreakdown& from, observe::EnergyBreakdown& to) {
  to.set_idle_j(from.idle.count());
  to.set_tensor_j(from.tensor.count());
  to.set_vector_j(from.vector.count());
  to.set_shared_j(from.shared.count());
  to.set_l2_j(from.l2.count());
  to.set_hbm_j(from.hbm.count());
  to.set_sm_j(from.sm.count());
  to.set_links_j(from.links.count());
}

EnergyBreakdown read(const observe::EnergyBreakdown& from) {
  return {Joules(from.idle_j()), Joules(from.tensor_j()), Joules(from.vector_j()), Joules(from.shared_j()),
          Joules(from.l2_j()),   Joules(from.hbm_j()),    Joules(from.sm_j()),     Joules(from.links_j())};
}

void write(const UtilisationSample& from, observe::UtilisationSample& to) {
  to.set_start_us(from.start_us);
  to.set_end_us(from.end_us);
  to.set_tensor(from.tensor);
  to.set_fp32(from.fp32);
  to.set_sfu(from.sfu);
  to.set_shared(from.shared);
  to.set_l2(from.l2);
  to.set_hbm(from.hbm);
}

UtilisationSample read(const observe::UtilisationSample& from) {
  return {from.start_us(), from.end_us(), from.tensor(), from.fp32(), from.sfu(), from.shared(), from.l2(), from.hbm()};
}

}  // namespace

std::string serialise(const KernelResult& result) {
  observe::KernelResult message;
  message.set_program(result.program);
  message.set_evaluator(static_cast<std::uint32_t>(result.evaluator));
  message.set_time_s(result.time.count());
  message.set_launch_s(result.launch.count());
  message.set_clock_hz(result.clock.count());
  message.set_cycles(result.cycles.count());
  message.set_over_power_limit(!result.power_limit_held);
  write(result.bounds, *message.mutable_bounds());
  for (const double cycles : result.reason_cycles) message.add_reason_cycles(cycles);
  write(result.work, *message.mutable_work());
  write(result.energy, *message.mutable_energy());
  message.set_simulated_fraction(result.simulated_fraction);
  for (const UtilisationSample& sample : result.timeline) write(sample, *message.add_timeline());
  return message.SerializeAsString();
}

std::optional<KernelResult> parse_kernel_result(std::string_view bytes) {
  observe::KernelResult message;
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      message.reason_cycles_size() != static_cast<int>(kCycleReasonCount) || message.evaluator() > 1) {
    return std::nullopt;
  }
  KernelResult result;
  result.program = message.program();
  result.evaluator = static_cast<Evaluator>(message.evaluator());
  result.time = Seconds(message.time_s());
  result.launch = Seconds(message.launch_s());
  result.clock = Hertz(message.clock_hz());
  result.cycles = Cycles(message.cycles());
  result.power_limit_held = !message.over_power_limit();
  result.bounds = read(message.bounds());
  std::copy(message.reason_cycles().begin(), message.reason_cycles().end(), result.reason_cycles.begin());
  result.work = read(message.work());
  result.energy = read(message.energy());
  result.simulated_fraction = message.simulated_fraction();
  for (const observe::UtilisationSample& sample : message.timeline()) result.timeline.push_back(read(sample));
  return result;
}

// ---- Collectives ---------------------------------------------------------------------------------------------

std::string serialise(const MessageResult& result) {
  observe::MessageResult message;
  message.set_program(result.program);
  message.set_evaluator(static_cast<std::uint32_t>(result.evaluator));
  message.set_time_s(result.time.count());
  message.set_start_s(result.start.count());
  message.set_longest_compute_s(result.longest_compute.count());
  message.set_bound_by(result.bound_by);
  for (const LinkUse& use : result.links) {
    observe::LinkUse& entry = *message.add_links();
    entry.set_kind(use.kind);
    entry.set_links(use.links);
    entry.set_wire_bytes(use.wire.count());
    entry.set_busiest(use.busiest);
    entry.set_energy_j(use.energy.count());
  }
  message.set_messages(result.messages);
  message.set_payload_bytes(result.payload.count());
  message.set_memory_read_bytes(result.memory_read.count());
  message.set_memory_written_bytes(result.memory_written.count());
  message.set_sms(result.sms);
  message.set_simulated_fraction(result.simulated_fraction);
  message.set_energy_j(result.energy.count());
  return message.SerializeAsString();
}

std::optional<MessageResult> parse_message_result(std::string_view bytes) {
  observe::MessageResult message;
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || message.program().empty() ||
      message.evaluator() > 1) {
    return std::nullopt;
  }
  MessageResult result;
  result.program = message.program();
  result.evaluator = static_cast<Evaluator>(message.evaluator());
  result.time = Seconds(message.time_s());
  result.start = Seconds(message.start_s());
  result.longest_compute = Seconds(message.longest_compute_s());
  result.bound_by = message.bound_by();
  for (const observe::LinkUse& use : message.links()) {
    result.links.push_back({use.kind(), use.links(), Bytes(use.wire_bytes()), use.busiest(), Joules(use.energy_j())});
  }
  result.messages = message.messages();
  result.payload = Bytes(message.payload_bytes());
  result.memory_read = Bytes(message.memory_read_bytes());
  result.memory_written = Bytes(message.memory_written_bytes());
  result.sms = message.sms();
  result.simulated_fraction = message.simulated_fraction();
  result.energy = Joules(message.energy_j());
  return result;
}

}  // namespace lightcone
