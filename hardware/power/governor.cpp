// SPDX-License-Identifier: Apache-2.0
#include "hardware/power/governor.h"

#include <algorithm>
#include <cmath>

namespace lightcone::hardware {

namespace {
constexpr double kOverlapExponent = 2.5;
constexpr double kClockPrecision = 1e4;  // Hz
}  // namespace

Seconds overlapped(Seconds core, Seconds memory) {
  const double larger = std::max(core, memory).count();
  const double smaller = std::min(core, memory).count();
  if (smaller <= 0) return Seconds(larger);
  return Seconds(larger * std::pow(1 + std::pow(smaller / larger, kOverlapExponent), 1 / kOverlapExponent));
}

Seconds time_at(const Activity& activity, Hertz clock) {
  return activity.overhead + overlapped(Seconds(activity.core_cycles / clock.count()), activity.memory_time);
}

Watts power_at(const GpuSpec& gpu, const Activity& activity, Hertz clock) {
  const double v2 = voltage_squared(gpu, clock);
  const double time = time_at(activity, clock).count();
  if (time <= 0) return gpu.power.idle;
  const double busy = (time - activity.overhead.count()) / time;
  const double sms = gpu.power.sm_active_watts * activity.active_sms * v2 * (clock / gpu.clock.boost) * busy;
  return Watts(gpu.power.idle.count() + sms + (activity.core.count() * v2 + activity.memory.count()) / time);
}

Hertz governed_clock(const GpuSpec& gpu, const Activity& activity) {
  if (power_at(gpu, activity, gpu.clock.boost) <= gpu.power.limit) return gpu.clock.boost;
  double low = std::min(gpu.clock.minimum, gpu.clock.boost).count();
  double high = gpu.clock.boost.count();
  if (power_at(gpu, activity, Hertz(low)) > gpu.power.limit) return Hertz(low);
  while (high - low > kClockPrecision) {
    const double middle = 0.5 * (low + high);
    (power_at(gpu, activity, Hertz(middle)) <= gpu.power.limit ? low : high) = middle;
  }
  return Hertz(low);
}

}  // namespace lightcone::hardware
