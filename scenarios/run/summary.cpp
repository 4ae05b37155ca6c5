// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scenarios/run/run_pass.h"

namespace lightcone::scenarios {
namespace {

std::string readable_time(Seconds time) {
  const double s = time.count();
  if (s < 1e-3) return fmt::format("{:.2f} us", s * 1e6);
  if (s < 1) return fmt::format("{:.3f} ms", s * 1e3);
  return fmt::format("{:.3f} s", s);
}

std::string line(const char* label, const std::string& text) { return fmt::format("  {:<16}{}\n", label, text); }

std::string memory_text(const RunResult& result) {
  std::string owners;
  for (const MemoryOwner& owner : result.memory) {
    owners += fmt::format("{}{} {}", owners.empty() ? "" : ", ", owner.name, readable(owner.bytes));
  }
  return fmt::format("{} of {} ({})", readable(result.memory_used()), readable(result.memory_capacity), owners);
}

std::string phases_text(const RunResult& result) {
  std::string text;
  for (const auto& [phase, time] : result.phase_times()) {
    text += fmt::format("{}{} {} ({:.1f} %)", text.empty() ? "" : ", ", phase, readable_time(time),
                        result.latency.count() > 0 ? 100 * (time / result.latency) : 0.0);
  }
  return text;
}

std::string error_text(const RunResult& result) {
  if (!result.expected_error) return "unvalidated: no measured data of this GPU and these operators were compared";
  const ErrorEstimate& error = *result.expected_error;
  std::string text =
      fmt::format("{:.1f} % median, {:.1f} % mean absolute error of the time in the validated classes ({})",
                  error.median_absolute_percent, error.mean_absolute_percent,
                  error.held_out ? "held-out: on points that calibration did not see"
                                 : "in-sample: calibration used the same data");
  const double unvalidated = 1 - result.validated_share;
  if (unvalidated > 0.0005) text += fmt::format("; {:.1f} % of the time is unvalidated", 100 * unvalidated);
  return text;
}

std::string provenance_text(const Provenance& from) {
  std::string text = from.evaluator == Evaluator::cycle
                         ? fmt::format(
                               "cycle simulation, {:.2f} % of the work played cycle by cycle, the rest from the "
                               "steady state",
                               100 * from.simulated_fraction)
                         : "closed-form (analytical) estimate";
  return text + fmt::format("; {} parameters calibrated, {} assumed", from.calibrated.size(), from.assumed.size());
}

}  // namespace

std::string describe(CycleReason reason) {
  switch (reason) {
    case CycleReason::tensor:
      return "tensor cores busy";
    case CycleReason::sfu:
      return "special-function units busy";
    case CycleReason::fp32:
      return "FP32 lanes or issue slots busy";
    case CycleReason::shared:
      return "shared-memory bandwidth";
    case CycleReason::l1:
      return "load/store unit busy";
    case CycleReason::wait_l2:
      return "waiting for L2";
    case CycleReason::wait_hbm:
      return "waiting for HBM";
    case CycleReason::wait_store:
      return "waiting for stores to drain";
    case CycleReason::wait_barrier:
      return "waiting at barriers and in the pipeline";
    case CycleReason::launch:
      return "kernel launch and CTA start-up";
    case CycleReason::idle:
      return "SMs without work (grid tail or small grid)";
    case CycleReason::communication:
      return "waiting for messages of other GPUs";
  }
  return "";
}

std::string summary(const RunResult& result) {
  std::string out = fmt::format("{}: {} {} on {}, batch {}\n", result.scenario, result.model, result.phase,
                                result.machine, result.batch);
  const bool training = result.phase == "training";
  if (result.gpus > 1) out += line("plan", fmt::format("{}, {} GPUs", result.plan, result.gpus));
  out += line("throughput",
              fmt::format("{:.1f} tokens/s", result.tokens_per_second) +
                  (result.gpus > 1 ? fmt::format(", {:.1f} tokens/s/GPU", result.tokens_per_second_per_gpu()) : ""));
  out += line("latency", fmt::format("{} for {} {} tokens", readable_time(result.latency), result.tokens,
                                     training                    ? "trained"
                                     : result.phase == "prefill" ? "prompt"
                                                                 : "generated"));
  if (training) out += line("phases", phases_text(result));
  out += line("MFU",
              fmt::format("{:.1f} % of peak matrix FLOP/s at the boost clock{}", 100 * result.model_flops_utilisation,
                          training ? fmt::format(" (three times the forward pass, attention by unmasked pairs); "
                                                 "{:.1f} % with what is computed again",
                                                 100 * result.hardware_flops_utilisation)
                                   : ""));
  if (result.gpus > 1) {
    const Seconds exposed = result.exposed_communication();
    out += line("communication", fmt::format("{} exposed, {:.1f} % of the time", readable_time(exposed),
                                             100 * (exposed / result.latency)));
  }
  out += line("HBM use", fmt::format("{:.1f} % of peak bandwidth", 100 * result.hbm_utilisation));
  out += line(result.gpus > 1 ? "memory per GPU" : "memory", memory_text(result));
  out += line("energy", fmt::format("{:.3g} J, {:.3g} J/token, {:.0f} W mean ({})", result.energy.count(),
                                    result.joules_per_token, result.mean_power.count(), kEnergyCaveat));
  const bool above = result.mean_clock > result.boost_clock;
  out += line("clock", fmt::format("{:.0f} MHz mean{} {:.0f} MHz boost{}", result.mean_clock.count() * 1e-6,
                                   above ? ", above the" : " of", result.boost_clock.count() * 1e-6,
                                   above ? ": kernels without tensor work run faster" : ""));
  if (const double over = result.over_power_limit_share(); over > 0) {
    out += line("power limit", fmt::format("not held: kernels of {:.1f} % of the time draw more even at the minimum "
                                           "clock; a real board would slow down further",
                                           100 * over));
  }
  for (std::size_t i = 0; i < result.bottlenecks.size(); ++i) {
    const Bottleneck& part = result.bottlenecks[i];
    out += line(i == 0 ? "bottlenecks" : "",
                fmt::format("{}. {:5.1f} % {}: {} ({})", i + 1, 100 * part.share, part.operator_name,
                            describe(part.reason), readable_time(part.time)));
  }
  out += line("expected error", error_text(result));
  out += line("provenance", provenance_text(result.provenance));
  return out;
}

}  // namespace lightcone::scenarios
