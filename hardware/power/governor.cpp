// SPDX-License-Identifier: Apache-2.0
#include "hardware/power/governor.h"

#include <algorithm>
#include <cmath>

namespace lightcone::hardware {

namespace {
// A plain maximum was worse on every measured GPU, sums worse still; fits of single GPUs lie between 2 and 3.
constexpr double kOverlapExponent = 2.5;
constexpr double kClockPrecision = 1e4;  // Hz
}  // namespace

Seconds overlapped(Seconds core, Seconds memory) {
  const double larger = std::max(core, memory).count();
  const double smaller = std::min(core, memory).count();
  if (smaller <= 0) return Seconds(larger);
  return Seconds(larger * std::pow(1 + std::pow(smaller / larger, kOverlapExponent), 1 / kOverlapExponent));
}

Seconds core_part(Seconds both, Seconds memory) {
  // A core part of nothing would have no clock to govern.
  const double most = std::min(memory.count(), 0.97 * both.count());
  return Seconds(
      std::pow(std::pow(both.count(), kOverlapExponent) - std::pow(most, kOverlapExponent), 1 / kOverlapExponent));
}

Seconds time_at(const Activity& activity, Hertz clock) {
  return activity.overhead + overlapped(Seconds(activity.core_cycles / clock.count()), activity.memory_time);
}

Watts power_at(const GpuSpec& gpu, const Activity& activity, Hertz clock) {
  const double v2 = voltage_squared(gpu, clock);
  const double time = time_at(activity, clock).count();
  if (time <= 0) return gpu.power.idle;
  const double busy = (time - activity.overhead.count()) / time;
  const double sms = active_sm_power(gpu, activity.active_sms, clock).count();
  return Watts(gpu.power.idle.count() + sms * busy + (activity.core.count() * v2 + activity.memory.count()) / time);
}

GovernedClock govern(const GpuSpec& gpu, const Activity& activity) {
  if (power_at(gpu, activity, gpu.clock.boost) <= gpu.power.limit) return {gpu.clock.boost, true};
  double low = std::min(gpu.clock.minimum, gpu.clock.boost).count();
  double high = gpu.clock.boost.count();
  if (power_at(gpu, activity, Hertz(low)) > gpu.power.limit) return {Hertz(low), false};
  while (high - low > kClockPrecision) {
    const double middle = 0.5 * (low + high);
    (power_at(gpu, activity, Hertz(middle)) <= gpu.power.limit ? low : high) = middle;
  }
  return {Hertz(low), true};
}

}  // namespace lightcone::hardware
