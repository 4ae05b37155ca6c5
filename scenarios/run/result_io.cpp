// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/result_io.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "scenarios/run/result.pb.h"
#include "sim/observe/kernel_result_io.h"
#include "sim/observe/message_result_io.h"

namespace lightcone::scenarios {
namespace {

void write(const ErrorEstimate& from, run::ErrorEstimate& to) {
  to.set_points(from.points);
  to.set_median_absolute_percent(from.median_absolute_percent);
  to.set_mean_absolute_percent(from.mean_absolute_percent);
  to.set_held_out(from.held_out);
}

ErrorEstimate read(const run::ErrorEstimate& from) {
  return {from.points(), from.median_absolute_percent(), from.mean_absolute_percent(), from.held_out()};
}

void write(const OperatorRow& from, run::OperatorRow& to) {
  to.set_name(from.name);
  to.set_section(from.section);
  to.set_phase(from.phase);
  to.set_repeat(from.repeat);
  to.set_kind(from.kind);
  to.set_format(from.format);
  to.set_note(from.note);
  for (const std::size_t kernel : from.kernels) to.add_kernels(kernel);
  to.set_time_s(from.time.count());
  to.set_launch_s(from.launch.count());
  to.set_bound_by(from.bound_by);
  for (const double seconds : from.reason_seconds) to.add_reason_s(seconds);
  to.set_matrix_flops(from.matrix_flops.count());
  to.set_vector_flops(from.vector_flops.count());
  to.set_bytes(from.bytes.count());
  to.set_hbm_bytes(from.hbm_bytes.count());
  to.set_peak_s(from.peak_seconds);
  to.set_multiply_format(from.multiply_format);
  to.set_energy_j(from.energy.count());
  to.set_clock_hz(from.clock.count());
  if (from.expected_error) write(*from.expected_error, *to.mutable_expected_error());
}

OperatorRow read(const run::OperatorRow& from) {
  OperatorRow to;
  to.name = from.name();
  to.section = from.section();
  to.phase = from.phase();
  to.repeat = from.repeat();
  to.kind = from.kind();
  to.format = from.format();
  to.note = from.note();
  to.kernels.assign(from.kernels().begin(), from.kernels().end());
  to.time = Seconds(from.time_s());
  to.launch = Seconds(from.launch_s());
  to.bound_by = from.bound_by();
  for (int r = 0; r < from.reason_s_size() && r < static_cast<int>(kCycleReasonCount); ++r) {
    to.reason_seconds[static_cast<std::size_t>(r)] = from.reason_s(r);
  }
  to.matrix_flops = Flops(from.matrix_flops());
  to.vector_flops = Flops(from.vector_flops());
  to.bytes = Bytes(from.bytes());
  to.hbm_bytes = Bytes(from.hbm_bytes());
  to.peak_seconds = from.peak_s();
  to.multiply_format = from.multiply_format();
  to.energy = Joules(from.energy_j());
  to.clock = Hertz(from.clock_hz());
  if (from.has_expected_error()) to.expected_error = read(from.expected_error());
  return to;
}

void write(const Provenance& from, run::Provenance& to) {
  to.set_evaluator(static_cast<std::uint32_t>(from.evaluator));
  to.set_simulator(from.simulator);
  to.set_simulated_fraction(from.simulated_fraction);
  for (const std::string& path : from.calibrated) to.add_calibrated(path);
  for (const std::string& path : from.assumed) to.add_assumed(path);
}

Provenance read(const run::Provenance& from) {
  Provenance to;
  to.evaluator = static_cast<Evaluator>(from.evaluator());
  to.simulator = from.simulator();
  to.simulated_fraction = from.simulated_fraction();
  to.calibrated.assign(from.calibrated().begin(), from.calibrated().end());
  to.assumed.assign(from.assumed().begin(), from.assumed().end());
  return to;
}

void write_totals(const RunResult& from, run::RunResult& to) {
  to.set_latency_s(from.latency.count());
  to.set_tokens_per_second(from.tokens_per_second);
  to.set_model_flops_utilisation(from.model_flops_utilisation);
  to.set_hardware_flops_utilisation(from.hardware_flops_utilisation);
  to.set_hbm_utilisation(from.hbm_utilisation);
  to.set_energy_j(from.energy.count());
  to.set_joules_per_token(from.joules_per_token);
  to.set_mean_power_w(from.mean_power.count());
  to.set_mean_clock_hz(from.mean_clock.count());
  to.set_boost_clock_hz(from.boost_clock.count());
  to.set_memory_capacity_bytes(from.memory_capacity.count());
  to.set_validated_share(from.validated_share);
  to.set_hbm_peak_bytes_per_second(from.hbm_peak.count());
  for (const FormatPeak& peak : from.peaks) {
    run::FormatPeak& entry = *to.add_peaks();
    entry.set_format(peak.format);
    entry.set_flops_per_second(peak.rate.count());
  }
}

void read_totals(const run::RunResult& from, RunResult& to) {
  to.latency = Seconds(from.latency_s());
  to.tokens_per_second = from.tokens_per_second();
  to.model_flops_utilisation = from.model_flops_utilisation();
  to.hardware_flops_utilisation = from.hardware_flops_utilisation();
  to.hbm_utilisation = from.hbm_utilisation();
  to.energy = Joules(from.energy_j());
  to.joules_per_token = from.joules_per_token();
  to.mean_power = Watts(from.mean_power_w());
  to.mean_clock = Hertz(from.mean_clock_hz());
  to.boost_clock = Hertz(from.boost_clock_hz());
  to.memory_capacity = Bytes(from.memory_capacity_bytes());
  to.validated_share = from.validated_share();
  to.hbm_peak = BytesPerSecond(from.hbm_peak_bytes_per_second());
  for (const run::FormatPeak& peak : from.peaks()) {
    to.peaks.push_back({peak.format(), FlopsPerSecond(peak.flops_per_second())});
  }
}

// Rows whose indices or kernels make no sense mean that the file is not what it says.
bool read_rows(const run::RunResult& from, RunResult& to) {
  for (const run::KernelRow& row : from.kernels()) {
    auto kernel = parse_kernel_result(row.result().SerializeAsString());
    if (!kernel) return false;
    std::optional<MessageResult> messages;
    if (row.has_messages()) {
      messages = parse_message_result(row.messages().SerializeAsString());
      if (!messages) return false;
    }
    to.kernels.push_back({row.hash(), row.launches(), *std::move(kernel), std::move(messages)});
  }
  for (const run::OperatorRow& row : from.operators()) {
    to.operators.push_back(read(row));
    for (const std::size_t kernel : to.operators.back().kernels) {
      if (kernel >= to.kernels.size()) return false;
    }
  }
  for (const run::MemoryOwner& owner : from.memory()) to.memory.push_back({owner.name(), Bytes(owner.bytes())});
  for (const run::Bottleneck& part : from.bottlenecks()) {
    if (part.reason() >= kCycleReasonCount) return false;
    to.bottlenecks.push_back({part.operator_name(), part.kind(), static_cast<CycleReason>(part.reason()),
                              Seconds(part.time_s()), part.share()});
  }
  return from.provenance().evaluator() <= 1;
}

}  // namespace

std::string serialise(const RunResult& result) {
  run::RunResult message;
  message.set_scenario(result.scenario);
  message.set_model(result.model);
  message.set_machine(result.machine);
  message.set_gpu(result.gpu);
  message.set_phase(result.phase);
  message.set_batch(result.batch);
  message.set_tokens(result.tokens);
  message.set_gpus(result.gpus);
  message.set_plan(result.plan);
  for (const OperatorRow& row : result.operators) write(row, *message.add_operators());
  for (const KernelRow& row : result.kernels) {
    run::KernelRow& kernel = *message.add_kernels();
    kernel.set_hash(row.hash);
    kernel.set_launches(row.launches);
    kernel.mutable_result()->ParseFromString(lightcone::serialise(row.result));
    if (row.messages) kernel.mutable_messages()->ParseFromString(lightcone::serialise(*row.messages));
  }
  write_totals(result, message);
  for (const MemoryOwner& owner : result.memory) {
    run::MemoryOwner& entry = *message.add_memory();
    entry.set_name(owner.name);
    entry.set_bytes(owner.bytes.count());
  }
  for (const Bottleneck& part : result.bottlenecks) {
    run::Bottleneck& entry = *message.add_bottlenecks();
    entry.set_operator_name(part.operator_name);
    entry.set_kind(part.kind);
    entry.set_reason(static_cast<std::uint32_t>(part.reason));
    entry.set_time_s(part.time.count());
    entry.set_share(part.share);
  }
  if (result.expected_error) write(*result.expected_error, *message.mutable_expected_error());
  write(result.provenance, *message.mutable_provenance());
  return message.SerializeAsString();
}

std::optional<RunResult> parse_run_result(std::string_view bytes) {
  run::RunResult message;
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return std::nullopt;
  }
  RunResult result;
  result.scenario = message.scenario();
  result.model = message.model();
  result.machine = message.machine();
  result.gpu = message.gpu();
  result.phase = message.phase();
  result.batch = message.batch();
  result.tokens = message.tokens();
  result.gpus = std::max<std::uint64_t>(1, message.gpus());
  result.plan = message.plan();
  read_totals(message, result);
  if (message.has_expected_error()) result.expected_error = read(message.expected_error());
  result.provenance = read(message.provenance());
  if (!read_rows(message, result)) return std::nullopt;
  return result;
}

}  // namespace lightcone::scenarios
