// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/result_json.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace lightcone::scenarios {
namespace {

using Json = nlohmann::ordered_json;

// "unvalidated", or the class's error.
Json error_json(const std::optional<ErrorEstimate>& error) {
  if (!error) return "unvalidated";
  return Json{{"median_absolute_percent", error->median_absolute_percent},
              {"mean_absolute_percent", error->mean_absolute_percent},
              {"validated_points", error->points},
              {"sample", error->held_out ? "held-out" : "in-sample"}};
}

Json operator_json(const OperatorRow& row) {
  Json reasons;
  for (std::size_t r = 0; r < kCycleReasonCount; ++r) {
    reasons[std::string(kCycleReasonNames[r])] = row.reason_seconds[r] * 1e6;
  }
  return Json{{"name", row.name},
              {"section", row.section},
              {"phase", row.phase},
              {"repeat", row.repeat},
              {"kind", row.kind},
              {"format", row.format},
              {"multiply_format", row.multiply_format},
              {"time_us", row.time.count() * 1e6},
              {"launch_us", row.launch.count() * 1e6},
              {"bound_by", row.bound_by},
              {"reasons_us", reasons},
              {"matrix_flops", row.matrix_flops.count()},
              {"vector_flops", row.vector_flops.count()},
              {"bytes", row.bytes.count()},
              {"hbm_bytes", row.hbm_bytes.count()},
              {"achieved_tflops_per_s", row.tflops_per_second()},
              {"achieved_gigabytes_per_s", row.gigabytes_per_second()},
              {"energy_j", row.energy.count()},
              {"clock_mhz", row.clock.count() * 1e-6},
              {"kernels", row.kernels},
              {"note", row.note},
              {"expected_error", error_json(row.expected_error)}};
}

Json kernel_json(const KernelRow& row) {
  const KernelResult& r = row.result;
  Json json{{"program", r.program},
            {"hash", row.hash},
            {"launches", row.launches},
            {"time_us", r.time.count() * 1e6},
            {"bound_by", row.bound_by()},
            {"top_reason", kCycleReasonNames[static_cast<std::size_t>(r.top_reason())]},
            {"clock_mhz", r.clock.count() * 1e-6},
            {"power_limit_held", r.power_limit_held},
            {"energy_j", r.energy.total().count()},
            {"hbm_read_bytes", r.work.hbm_read.count()},
            {"hbm_written_bytes", r.work.hbm_written.count()},
            {"simulated_fraction", r.simulated_fraction}};
  if (!row.messages) return json;
  json["messages"] = row.messages->messages;
  json["payload_bytes"] = row.messages->payload.count();
  json["sms"] = row.messages->sms;
  json["links"] = Json::array();
  for (const LinkUse& use : row.messages->links) {
    json["links"].push_back({{"kind", use.kind},
                             {"links", use.links},
                             {"wire_bytes", use.wire.count()},
                             {"busiest", use.busiest},
                             {"energy_j", use.energy.count()}});
  }
  return json;
}

Json totals_json(const RunResult& result) {
  Json phases;
  for (const auto& [phase, time] : result.phase_times()) phases[phase] = time.count() * 1e3;
  return Json{{"phases_ms", std::move(phases)},
              {"hardware_flops_utilisation", result.hardware_flops_utilisation},
              {"latency_ms", result.latency.count() * 1e3},
              {"exposed_communication_ms", result.exposed_communication().count() * 1e3},
              {"tokens_per_s", result.tokens_per_second},
              {"tokens_per_s_per_gpu", result.tokens_per_second_per_gpu()},
              {"model_flops_utilisation", result.model_flops_utilisation},
              {"hbm_utilisation", result.hbm_utilisation},
              {"energy_j", result.energy.count()},
              {"energy_per_token_j", result.joules_per_token},
              {"mean_power_w", result.mean_power.count()},
              {"over_power_limit_share_of_time", result.over_power_limit_share()},
              {"mean_clock_mhz", result.mean_clock.count() * 1e-6},
              {"boost_clock_mhz", result.boost_clock.count() * 1e-6}};
}

Json memory_json(const RunResult& result) {
  Json owners = Json::array();
  for (const MemoryOwner& owner : result.memory)
    owners.push_back({{"name", owner.name}, {"bytes", owner.bytes.count()}});
  return Json{{"used_bytes", result.memory_used().count()},
              {"capacity_bytes", result.memory_capacity.count()},
              {"owners", std::move(owners)}};
}

}  // namespace

std::string to_json(const RunResult& result) {
  Json json{{"scenario", result.scenario}, {"model", result.model}, {"machine", result.machine},
            {"gpu", result.gpu},           {"phase", result.phase}, {"batch", result.batch},
            {"tokens", result.tokens},     {"gpus", result.gpus},   {"plan", result.plan}};
  json["totals"] = totals_json(result);
  json["memory"] = memory_json(result);
  json["roofline"] = {{"hbm_gigabytes_per_s", result.hbm_peak.count() * 1e-9}};
  for (const FormatPeak& peak : result.peaks) json["roofline"]["tflops_per_s"][peak.format] = peak.rate.count() * 1e-12;
  json["bottlenecks"] = Json::array();
  for (const Bottleneck& part : result.bottlenecks) {
    json["bottlenecks"].push_back({{"operator", part.operator_name},
                                   {"kind", part.kind},
                                   {"reason", kCycleReasonNames[static_cast<std::size_t>(part.reason)]},
                                   {"time_ms", part.time.count() * 1e3},
                                   {"share", part.share}});
  }
  json["expected_error"] = error_json(result.expected_error);
  json["validated_share_of_time"] = result.validated_share;
  const Provenance& provenance = result.provenance;
  json["provenance"] = {{"evaluator", provenance.evaluator == Evaluator::cycle ? "cycle" : "analytical"},
                        {"simulator", provenance.simulator},
                        {"simulated_fraction", provenance.simulated_fraction},
                        {"energy", kEnergyCaveat},
                        {"calibrated_parameters", provenance.calibrated},
                        {"assumed_parameters", provenance.assumed}};
  json["operators"] = Json::array();
  for (const OperatorRow& row : result.operators) json["operators"].push_back(operator_json(row));
  json["kernels"] = Json::array();
  for (const KernelRow& row : result.kernels) json["kernels"].push_back(kernel_json(row));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lightcone::scenarios
