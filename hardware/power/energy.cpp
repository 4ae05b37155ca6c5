// SPDX-License-Identifier: Apache-2.0
#include "hardware/power/energy.h"

#include <cmath>

namespace lightcone::hardware {

namespace {

constexpr double kPico = 1e-12;
// The energy figures are per FLOP of an FMA. An instruction that does less (a maximum, a conversion) moves as many
// operands and costs as much.
constexpr double kFlopsPerLaneOp = 2;

double tensor_pj_per_flop(const PowerSpec& power, NumberFormat format) {
  if (const auto exact = power.tensor_pj_per_flop.find(format); exact != power.tensor_pj_per_flop.end()) {
    return exact->second;
  }
  double best = 0;
  unsigned best_bits = 0;
  for (const auto& [other, pj] : power.tensor_pj_per_flop) {
    const unsigned bits = info(other).bits;
    if (bits >= info(format).bits && (best_bits == 0 || bits < best_bits)) {
      best = pj;
      best_bits = bits;
    }
  }
  return best;
}

}  // namespace

double voltage_squared(const GpuSpec& gpu, Hertz clock) {
  return std::pow(clock / gpu.power.reference, 2 * gpu.power.voltage_exponent);
}

Watts active_sm_power(const GpuSpec& gpu, double active_sms, Hertz clock) {
  return Watts(gpu.power.sm_active_watts * active_sms * voltage_squared(gpu, clock) * (clock / gpu.power.reference));
}

EnergyBreakdown energy_of(const WorkCounters& work, const FormatFlops& executed, Seconds time, Hertz clock,
                          double active_sms, const GpuSpec& gpu) {
  const PowerSpec& power = gpu.power;
  const double core = kPico * voltage_squared(gpu, clock);
  double tensor_pj = 0;
  for (const NumberFormatInfo& format : kNumberFormats) {
    const double flops = executed[static_cast<std::size_t>(format.format)].real();
    if (flops > 0) tensor_pj += flops * tensor_pj_per_flop(power, format.format);
  }
  EnergyBreakdown energy;
  energy.idle = lightcone::energy(power.idle, time);
  energy.tensor = Joules(core * tensor_pj);
  energy.vector = Joules(core * (static_cast<double>(work.lane_ops) * kFlopsPerLaneOp * power.fp32_pj_per_flop +
                                 static_cast<double>(work.sfu_ops) * power.sfu_pj_per_op));
  energy.shared = Joules(core * work.shared_bytes.real() * power.shared_pj_per_byte);
  energy.l2 = Joules(core * (work.l2_read + work.l2_written).real() * power.l2_pj_per_byte);
  energy.hbm = Joules(kPico * (work.hbm_read + work.hbm_written).real() * power.hbm_pj_per_byte);
  energy.sm = lightcone::energy(active_sm_power(gpu, active_sms, clock), time);
  return energy;
}

}  // namespace lightcone::hardware
